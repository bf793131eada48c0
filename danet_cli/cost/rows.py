"""Measure the rows of `danet cost`, and print them."""

from __future__ import annotations

import importlib.util
from typing import Any

import typer

from danet_cli.backend import BackendName
from danet_cli.console import CommandError, print_note, print_table
from danet_cli.contexts import chosen_contexts, name_of
from danet_cli.cost import memory
from danet_cli.settings import parse_assignments
from danet_common import DANetConfig
from danet_common.config.parameters import count_trainable
from danet_common.config.variants import get_config
from weights_convert.settings import parse_settings

MIB = 1 << 20
HEADINGS = ("network", "context", "parameters, M", "in the head", "operations, G", "in the head", "memory, MiB")


def chosen_networks(variants: list[str], contexts: list[str], settings: list[str]) -> list[tuple[str, DANetConfig]]:
    """Return name and config of each row. Raises ValueError, before any measurement, for a wrong config."""
    changes = parse_settings(parse_assignments(settings))
    if "context" in changes:
        raise typer.BadParameter("--set context: --context chooses the rows")
    chosen = chosen_contexts(contexts)
    configs = {name: get_config(name).replace(**changes) for name in variants}
    return [(name, config.replace(context=each)) for name, config in configs.items() for each in chosen]


def counts_operations() -> bool:
    """True if PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def measure(config: DANetConfig, backend: BackendName, height: int, width: int) -> dict[str, int | None]:
    """Return the figures of one network; None, with a note, for a figure that cannot be measured."""
    trainable = count_trainable(config)
    operations = memory_bytes = None
    if counts_operations():
        from danet_cli.cost.operations import count_operations

        operations = count_operations(config, 1, height, width)
    try:
        memory_bytes = memory.measure_memory(config, backend, height, width)
    except CommandError as error:
        print_note(f"{name_of(config.context)}: no memory: {error}")
    return {
        "parameters": trainable,
        "head_parameters": trainable - count_trainable(config, "backbone."),
        "operations": None if operations is None else operations.network,
        "head_operations": None if operations is None else operations.head,
        "memory_bytes": memory_bytes,
    }


def print_costs(report: dict[str, Any]) -> None:
    """Print the report for people."""
    rows = [
        (
            row["network"],
            name_of(row["context"]),
            *(scaled(row[name], 1e6, 3) for name in ("parameters", "head_parameters")),
            *(scaled(row[name], 1e9, 1) for name in ("operations", "head_operations")),
            scaled(row["memory_bytes"], MIB, 0),
        )
        for row in report["rows"]
    ]
    print_table(HEADINGS, rows, text_columns=2)
    picture, packages = report["picture"], ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    print_note(f"one {picture['height']}x{picture['width']} image in float32, memory of {report['backend']}")
    print_note(f"{report['processor']}, {packages}")


def scaled(value: int | None, unit: float, digits: int) -> str:
    """Return a number in a unit; a dash for None."""
    return "-" if value is None else f"{value / unit:,.{digits}f}"

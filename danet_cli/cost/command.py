"""danet cost: parameters, operations and memory of a network with each context module."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli import options as opt
from danet_cli.backend import BackendName, import_backend
from danet_cli.console import CommandError, ExitCode, print_json, print_note, print_table, progress
from danet_cli.contexts import chosen_contexts, name_of
from danet_cli.settings import parse_assignments, parse_size

if TYPE_CHECKING:
    from danet_common import DANetConfig

MIB = 1 << 20
HEADINGS = ("network", "context", "parameters, M", "in the head", "operations, G", "in the head", "memory, MiB")


def cost(
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", show_default="danet_r50", help="Network; repeatable.")
    ] = None,
    context: opt.Context = None,
    size: Annotated[str, typer.Option(metavar="HxW", help="Image size.")] = "768x768",
    backend: opt.Backend = "torch",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the networks' configs; repeatable."),
    ] = None,
    as_json: opt.AsJson = False,
) -> int:
    """Compare the cost of context modules: trainable parameters, operations, memory.

    PyTorch counts the operations of one prediction (a multiply-add is 2). Memory is the peak of one prediction on the
    CPU above the process's memory before it; each network is measured in a process of its own.

    \b
    Examples:
      danet cost
      danet cost --variant danet_r18 --size 256x512 --context none --context position,channel --backend jax
      danet cost --variant danet_r50 --variant danet_r101 --context non_local --set non_local_form=gaussian --json
    """
    from danet_cli.environment import processor, versions

    height, width = parse_size(size)
    networks = chosen_networks(variant or ["danet_r50"], context or [], settings or [])
    import_backend(backend)
    if not counts_operations():
        print_note("PyTorch, which counts operations, is not installed: pip install 'danet[torch]'")
    rows = []
    with progress(len(networks)) as step:
        for name, config in networks:
            step(f"{name} {name_of(config.context)}")
            rows.append({"network": name, "context": list(config.context), **measure(config, backend, height, width)})
    picture = {"height": height, "width": width}
    report = {"picture": picture, "backend": backend, "processor": processor(), "versions": versions(), "rows": rows}
    if as_json:
        print_json(report)
    else:
        print_costs(report)
    return ExitCode.DISAGREE if any(row["memory_bytes"] is None for row in rows) else ExitCode.DONE


def chosen_networks(variants: list[str], contexts: list[str], settings: list[str]) -> list[tuple[str, DANetConfig]]:
    """Return name and config of each row. Raises ValueError, before any measurement, for a wrong config."""
    from danet_common.config.variants import get_config
    from weights_convert.settings import parse_settings

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
    from danet_cli.cost.memory import measure_memory
    from danet_common.config.parameters import count_trainable

    trainable = count_trainable(config)
    operations = memory = None
    if counts_operations():
        from danet_cli.cost.operations import count_operations

        operations = count_operations(config, 1, height, width)
    try:
        memory = measure_memory(config, backend, height, width)
    except CommandError as error:
        print_note(f"{name_of(config.context)}: no memory: {error}")
    return {
        "parameters": trainable,
        "head_parameters": trainable - count_trainable(config, "backbone."),
        "operations": None if operations is None else operations.network,
        "head_operations": None if operations is None else operations.head,
        "memory_bytes": memory,
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

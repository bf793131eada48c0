"""danet cost: parameters, operations and memory of a network with each context module, counted and measured."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.backend import BackendName, import_backend
from danet_cli.console import CommandError, ExitCode, print_json, print_note, progress
from danet_cli.contexts import chosen_contexts, name_of
from danet_cli.settings import parse_assignments, parse_size

if TYPE_CHECKING:
    from danet_common import DANetConfig

MIB = 1 << 20


def cost(
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A network; may be repeated; danet_r50.")
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND,...", help="A row: none, or kinds; may be repeated; all of the ablation."),
    ] = None,
    size: Annotated[str, typer.Option(metavar="HxW", help="Of the picture.")] = "768x768",
    backend: Annotated[BackendName, typer.Option(help="Whose memory is measured.")] = "torch",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Of the networks; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Compare what networks cost by their context modules: trainable parameters, operations, memory.

    Operations of one prediction are counted by PyTorch (a product and a sum are two); memory is the most that one
    takes on the CPU above what the process held before, each measured in a process of its own.

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
        print_note("operations are counted by PyTorch, which is not installed: pip install 'danet[torch]'")
    rows = []
    with progress(len(networks)) as step:
        for name, config in networks:
            step(f"{name} {name_of(config.context)}")
            rows.append({"network": name, "context": list(config.context), **measure(config, backend, height, width)})
    picture = {"height": height, "width": width}
    answer = {"picture": picture, "backend": backend, "processor": processor(), "versions": versions(), "rows": rows}
    if as_json:
        print_json(answer)
    else:
        print_costs(answer)
    return ExitCode.DISAGREE if any(row["memory_bytes"] is None for row in rows) else ExitCode.DONE


def chosen_networks(variants: list[str], contexts: list[str], settings: list[str]) -> list[tuple[str, DANetConfig]]:
    """Name and config of each row. Raises ValueError, before anything is measured, for what makes no network."""
    from danet_common.config.variants import get_config
    from weights_convert.settings import parse_settings

    changes = parse_settings(parse_assignments(settings))
    if "context" in changes:
        raise typer.BadParameter("--set context: --context says which rows there are")
    chosen = chosen_contexts(contexts)
    configs = {name: get_config(name).replace(**changes) for name in variants}
    return [(name, config.replace(context=each)) for name, config in configs.items() for each in chosen]


def counts_operations() -> bool:
    """Whether PyTorch is there."""
    return importlib.util.find_spec("torch") is not None


def measure(config: DANetConfig, backend: BackendName, height: int, width: int) -> dict[str, int | None]:
    """The figures of one network; None, with a note, for those that could not be had."""
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


def print_costs(answer: dict[str, Any]) -> None:
    """The table for people."""
    from rich.table import Table

    from danet_cli.console import console

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("network", "context"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters, M", "in the head", "operations, G", "in the head", "memory, MiB"):
        table.add_column(column, justify="right")
    for row in answer["rows"]:
        figures = (
            *(scaled(row[name], 1e6, 3) for name in ("parameters", "head_parameters")),
            *(scaled(row[name], 1e9, 1) for name in ("operations", "head_operations")),
            scaled(row["memory_bytes"], MIB, 0),
        )
        table.add_row(row["network"], name_of(row["context"]), *figures)
    console().print(table)
    picture, used = answer["picture"], ", ".join(f"{name} {value}" for name, value in answer["versions"].items())
    print_note(f"one {picture['height']}x{picture['width']} picture in float32, memory of {answer['backend']}")
    print_note(f"{answer['processor']}, {used}")


def scaled(value: int | None, unit: float, digits: int) -> str:
    """A dash where there is none."""
    return "-" if value is None else f"{value / unit:,.{digits}f}"

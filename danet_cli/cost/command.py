"""danet cost: parameters, operations and memory of a network with each context module."""

from __future__ import annotations

from typing import Annotated

import typer

from danet_cli import options as opt
from danet_cli.backend import import_backend
from danet_cli.console import ExitCode, print_json, print_note, progress


def cost(
    backend: opt.Backend,
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", show_default="danet_r50", help="Network; repeatable.")
    ] = None,
    context: opt.Context = None,
    size: Annotated[str, typer.Option(metavar="HxW", help="Image size.")] = "768x768",
    settings: opt.Settings = None,
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
    from danet_cli.contexts import name_of
    from danet_cli.cost.rows import chosen_networks, counts_operations, measure, print_costs
    from danet_cli.environment import processor, versions
    from danet_cli.settings import parse_size

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

"""danet inspect: what a checkpoint is, without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from danet_cli.console import ExitCode, console, count_bytes, print_facts, print_json, print_note
from danet_cli.settings import summary
from danet_cli.weights_option import WeightsKey

if TYPE_CHECKING:
    from weights_convert import Inspection


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A checkpoint of any known format and schema.")],
    from_schema: Annotated[
        str | None, typer.Option("--from", metavar="SCHEMA", help="Its naming; recognised if not given.")
    ] = None,
    weights_key: WeightsKey = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor with its SHA-256.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> int:
    """Say what a checkpoint is: format, schema, config and tensors. Its code, if it has any, is never run.

    \b
    Examples:
      danet inspect model_best.pth.tar
      danet inspect danet.safetensors --tensors
      danet inspect danet.keras --json
    """
    import weights_convert

    found = weights_convert.inspect(path, from_schema, weights_key)
    if as_json:
        print_json(found.to_dict())
        return ExitCode.DONE
    for line in found.notes:
        print_note(line)
    print_facts(str(path), facts_of(found))
    if tensors:
        _print_tensors(found)
    return ExitCode.DONE


def facts_of(found: Inspection) -> dict[str, str]:
    """The inspection in a few lines."""
    from weights_convert.mapping.apply import BACKBONES_OWN

    headless = not any(tensor.name.startswith("head.") for tensor in found.tensors)
    dtypes = sorted({tensor.dtype for tensor in found.tensors if not tensor.name.endswith("num_batches_tracked")})
    facts = {"format": found.format, "schema": found.schema}
    if found.origin:
        facts["from"] = found.origin
    facts |= {
        "config": summary(found.config, BACKBONES_OWN if headless else None),
        "tensors": f"{len(found.tensors)} of {', '.join(dtypes)}",
        "size": count_bytes(found.bytes),
    }
    if len(found.weights) > 1:
        facts["weights"] = ", ".join(f"{each.key}{' (taken)' * each.taken}" for each in found.weights)
    if found.defaulted:
        facts["assumed"] = " ".join(f"{field}={value}" for field, value in found.defaulted.items())
    if found.extra_tensors:
        facts["extra tensors"] = ", ".join(tensor.name for tensor in found.extra_tensors)
    if found.classes:
        facts["classes"] = ", ".join(found.classes)
    return facts


def _print_tensors(found: Inspection) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("tensor", "shape", "dtype", "SHA-256"):
        table.add_column(heading, no_wrap=True)
    for tensor in (*found.tensors, *found.extra_tensors):
        shape = "x".join(str(size) for size in tensor.shape) or "scalar"
        table.add_row(tensor.name, shape, tensor.dtype, tensor.sha256[:16])
    console().print(table)

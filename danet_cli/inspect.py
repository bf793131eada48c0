"""danet inspect: describe a checkpoint without running code from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from danet_cli import options as opt
from danet_cli.console import ExitCode, print_facts, print_json, print_note, print_table

if TYPE_CHECKING:
    from weights_convert import Inspection


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Checkpoint of any known format and schema.")],
    from_schema: opt.FromSchema = None,
    weights_key: opt.WeightsKey = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor with its SHA-256.")] = False,
    as_json: opt.AsJson = False,
) -> int:
    """Describe a checkpoint: format, schema, config and tensors. Code in the file is never run.

    \b
    Examples:
      danet inspect model_best.pth.tar
      danet inspect danet.safetensors --tensors
      danet inspect danet.keras --json
    """
    import weights_convert

    inspection = weights_convert.inspect(path, from_schema, weights_key)
    if as_json:
        print_json(inspection.to_dict())
        return ExitCode.DONE
    for line in inspection.notes:
        print_note(line)
    print_facts(str(path), facts_of(inspection))
    if tensors:
        rows = (
            (tensor.name, "x".join(map(str, tensor.shape)) or "scalar", tensor.dtype, tensor.sha256[:16])
            for tensor in (*inspection.tensors, *inspection.extra_tensors)
        )
        print_table(("tensor", "shape", "dtype", "SHA-256"), rows, text_columns=4)
    return ExitCode.DONE


def facts_of(inspection: Inspection) -> dict[str, str]:
    """Return the inspection as a few names and values."""
    from rich.filesize import decimal

    from danet_cli.settings import summary
    from weights_convert.mapping.apply import BACKBONES_OWN

    tensors = inspection.tensors
    headless = not any(tensor.name.startswith("head.") for tensor in tensors)
    dtypes = sorted({tensor.dtype for tensor in tensors if not tensor.name.endswith("num_batches_tracked")})
    facts = {"format": inspection.format, "schema": inspection.schema}
    if inspection.origin:
        facts["from"] = inspection.origin
    facts |= {
        "config": summary(inspection.config, BACKBONES_OWN if headless else None),
        "tensors": f"{len(tensors)} of {', '.join(dtypes)}",
        "size": decimal(inspection.bytes),
    }
    if len(inspection.weights) > 1:
        facts["weights"] = ", ".join(f"{each.key}{' (taken)' * each.taken}" for each in inspection.weights)
    if inspection.defaulted:
        facts["assumed"] = " ".join(f"{field}={value}" for field, value in inspection.defaulted.items())
    if inspection.extra_tensors:
        facts["extra tensors"] = ", ".join(tensor.name for tensor in inspection.extra_tensors)
    if inspection.classes:
        facts["classes"] = ", ".join(inspection.classes)
    return facts

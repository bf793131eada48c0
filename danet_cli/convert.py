"""danet convert: convert a checkpoint to another format or schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from danet_cli import options as opt
from danet_cli.console import ExitCode, print_facts, print_json, print_note, progress


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Checkpoint of any known format and schema.")],
    destination: Annotated[
        str,  # a Path loses a trailing /
        typer.Argument(
            metavar="DST",
            help="New file. Its ending chooses the format: .safetensors, .pth, .npz, .keras, .weights.h5 or .orbax; "
            "with --to also .pdparams (paddleseg) or .params (gluoncv).",
        ),
    ],
    from_schema: opt.FromSchema = None,
    to_schema: Annotated[str | None, typer.Option("--to", metavar="SCHEMA", help="Schema of DST.")] = None,
    settings: opt.Settings = None,
    dtype: Annotated[str | None, typer.Option(help="New dtype: float32, float64, bfloat16 or float16.")] = None,
    weights_key: opt.WeightsKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace DST: a file, or an Orbax folder.")] = False,
    as_json: opt.AsJson = False,
) -> int:
    """Convert a checkpoint. Every tensor is accounted for, or nothing is written.

    --set gives a config field that SRC does not contain.

    \b
    Examples:
      danet convert model_best.pth.tar danet.safetensors
      danet convert model_best.pth.tar danet.keras --set multi_grid=1,2,4
      danet convert timm.pth.tar danet.safetensors --weights-key state_dict_ema
      danet convert danet.orbax danet.pth --to official --dtype float32 --force
    """
    from rich.filesize import decimal

    import weights_convert
    from danet_cli.settings import parse_assignments, summary

    assignments = parse_assignments(settings or [])
    with progress(1) as step:
        step(f"converting {source.name}")
        report = weights_convert.convert(
            source,
            destination,
            from_schema,
            to_schema=to_schema,
            settings=assignments,
            dtype=dtype,
            force=force,
            weights_key=weights_key,
        )
    if as_json:
        print_json(report.to_dict())
        return ExitCode.DONE
    for line in report.lines:
        print_note(line)
    facts = {
        "format": report.format,
        "schema": report.schema,
        "config": summary(report.config),
        "tensors": str(report.tensors),
        "size": decimal(report.bytes),
    }
    print_facts(f"{source} -> {destination}", facts)
    return ExitCode.DONE

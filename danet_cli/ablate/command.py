"""danet ablate: train networks that differ only in their context modules, and compare them: the paper's ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from danet_cli import options as opt
from danet_cli.backend import import_backend
from danet_cli.console import ExitCode, print_json, print_note
from danet_cli.demo.command import RECIPE

# The ablation that needs no files.
DATA, NETWORK, SETTINGS, VALIDATE_EVERY = "scenes", "danet_tiny", ("steps=300", *RECIPE), 100


def ablate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the table, the picture and the runs.")],
    backend: opt.Backend,
    data: Annotated[str | None, typer.Option(metavar="SPEC", show_default="scenes", help="Data set.")] = None,
    context: opt.Context = None,
    network: Annotated[list[str] | None, typer.Option(metavar="NAME|CKPT", help="Network; repeatable.")] = None,
    recipe: opt.RecipeName = None,
    backbone: opt.Backbone = None,
    settings: opt.Settings = None,
    split: opt.TrainSplit = None,
    val: opt.Val = None,
    val_split: opt.ValSplit = None,
    validate_every: opt.ValidateEvery = None,
    as_json: opt.AsJson = False,
) -> int:
    """Train networks that differ only in their context modules, and compare them: the paper's ablation.

    Seed, data, recipe and steps are the same for all; each is validated after its last step. Every row is a run,
    DIR/NETWORK/CONTEXT. The same command resumes an ablation that was stopped, without training finished runs again.
    Without --data, danet_tiny learns scenes in 300 steps; with it, the default network is danet_r50.

    \b
    Examples:
      danet ablate --out ablation
      danet ablate --out ablation --context none --context position,channel --context non_local --backend jax
      danet ablate --out camvid --data camvid:CamVid --network danet_r18 --set steps=2000 --set crop=180x240
    """
    from danet_cli.ablate.report import REPORTS, print_report, write_reports
    from danet_cli.ablate.runs import make_rows, train_rows
    from danet_cli.output_paths import require_folder, require_own
    from danet_cli.train.plan import RunOptions
    from danet_common.extras import TRAINING, require_packages

    require_packages("danet ablate", TRAINING)
    require_folder(out)
    for name, replace in REPORTS.items():
        require_own(out / name, replace)
    if data is None:
        settings, network = [*SETTINGS, *(settings or [])], network or [NETWORK]
        validate_every = validate_every or VALIDATE_EVERY
    options = RunOptions(
        data=data or DATA,
        split=split,
        val=val,
        val_split=val_split,
        recipe=recipe,
        backbone=backbone,
        settings=settings or [],
        validate_every=validate_every,
    )
    rows = make_rows(out, options, network or ["danet_r50"], context or [])
    import_backend(backend)
    try:
        code = train_rows(rows, backend)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    finished = [row for row in rows if row.is_finished]
    if finished:
        report: dict[str, Any] = write_reports(out, finished)
        if as_json:
            print_json(report)
        else:
            print_report(out, report)
    if len(finished) < len(rows):
        print_note(f"{len(finished)} of {len(rows)} runs are finished; the same command resumes the rest")
    return code

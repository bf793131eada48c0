"""danet ablate: the paper's ablation. Networks that differ in their context modules alone, trained and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from danet_cli.ablate.runs import Row, make_rows
from danet_cli.backend import BackendName, import_backend
from danet_cli.console import ExitCode, print_error, print_json, print_note
from danet_cli.demo.command import RECIPE
from danet_cli.output_paths import require_folder
from danet_cli.own_files import require_own
from danet_cli.train.command import drive, require_packages
from danet_cli.train.plan import Asked

# Of the ablation that needs no files.
DATA, NETWORK, SETTINGS, VALIDATE_EVERY = "scenes", "danet_tiny", ("steps=300", *RECIPE), 100


def ablate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Table, picture and a run's folder for each row.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="As of danet train; without: scenes, danet_tiny, 300 steps."),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND,...", help="A row: none, or kinds; may be repeated; all of the ablation."),
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(metavar="NAME|CKPT", help="As of danet train; may be repeated.")
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="Which framework computes.")] = "torch",
    recipe: Annotated[str | None, typer.Option(metavar="NAME", help="A published recipe.")] = None,
    backbone: Annotated[Path | None, typer.Option(metavar="FILE", help="A trained backbone to begin from.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Of network, recipe or augmentation; may be repeated."),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="What is learned from; train.")] = None,
    val: Annotated[str | None, typer.Option(metavar="SPEC", help="What is judged with; --data's.")] = None,
    val_split: Annotated[str | None, typer.Option(metavar="NAME", help="What is judged with; val.")] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps; a twentieth of all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Train networks that differ in their context modules alone, and compare them: the paper's ablation.

    Seed, data, recipe and steps are the same for all; each is judged after its last step. Every row is a run of its
    own, DIR/NETWORK/CONTEXT. The same command goes on where it was stopped: what is finished is not trained again.

    \b
    Examples:
      danet ablate --out ablation
      danet ablate --out ablation --context none --context position,channel --context non_local --backend jax
      danet ablate --out camvid --data camvid:CamVid --network danet_r18 --set steps=2000 --set crop=180x240
    """
    from danet_cli.ablate.report import REPORTS, print_table, write_reports

    require_packages()
    require_folder(out)
    for name, judge in REPORTS.items():
        require_own(out / name, judge)
    if data is None:
        settings, network = [*SETTINGS, *(settings or [])], network or [NETWORK]
        validate_every = validate_every or VALIDATE_EVERY
    settings = settings or []
    asked = Asked(data or DATA, split, val, val_split, None, recipe, backbone, settings, None, None, validate_every)
    rows = make_rows(out, asked, network or ["danet_r50"], context or [])
    import_backend(backend)
    try:
        code = train_rows(rows, backend)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    finished = [row for row in rows if row.finished]
    answer: dict[str, Any] = {}
    if finished:
        answer = write_reports(out, finished)
        if as_json:
            print_json(answer)
        else:
            print_table(out, answer)
    if len(finished) < len(rows):
        print_note(f"{len(finished)} of {len(rows)} runs are finished; the same command goes on with the others")
    return code


def train_rows(rows: list[Row], backend: BackendName) -> ExitCode:
    """Train what is not finished, row by row, until all are or a signal comes; a run that diverges stops no other."""
    from danet_common.training import DivergenceError, StopReason

    code = ExitCode.DONE
    for number, row in enumerate(rows, start=1):
        if row.finished:
            continue
        print_note()
        print_note(f"{number} of {len(rows)}: {row.title}")
        try:
            _, ending = drive(row.plan, row.folder, row.read, backend, not row.begun, None, threads=2, workers=0)
        except DivergenceError as error:
            print_error(f"{row.title}: {error}")
            code = ExitCode.DISAGREE
            continue
        if ending is StopReason.INTERRUPTED:
            return ExitCode.INTERRUPTED
    return code

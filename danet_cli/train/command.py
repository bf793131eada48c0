"""danet train: train a network, in any framework, and resume a run in the same or another framework."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from danet_cli import options as opt
from danet_cli.backend import BackendName
from danet_cli.console import ExitCode


def train(
    data: Annotated[str | None, typer.Option(metavar="SPEC", help="Data set: NAME:PATH, or scenes.")] = None,
    backend: Annotated[
        BackendName | None,
        typer.Option(show_default="the run's, or the first installed", help="Framework that computes."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="Folder of the new run.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Resume a run, in any framework.")] = None,
    network: Annotated[
        str | None, typer.Option(metavar="NAME|CKPT", show_default="danet_r50", help="Variant, or initial weights.")
    ] = None,
    recipe: opt.RecipeName = None,
    backbone: opt.Backbone = None,
    weights_key: opt.WeightsKey = None,
    settings: opt.Settings = None,
    split: opt.TrainSplit = None,
    val: opt.Val = None,
    val_split: opt.ValSplit = None,
    validate_every: opt.ValidateEvery = None,
    save_every: Annotated[int | None, typer.Option(min=1, show_default="500", help="Steps between saves.")] = None,
    log_every: Annotated[int | None, typer.Option(min=1, show_default="10", help="Steps between log lines.")] = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, metavar="STEP", help="Save and stop after this step.")
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=0, help="Threads that make batches.")] = 2,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that make batches, not threads.")] = 0,
    max_pixels: opt.MaxPixels = None,
) -> int:
    """Train a network. Ctrl-C saves the run and prints the command that resumes it.

    Data, recipe and seed determine the batches, the initial weights and the dropout masks, the same in every framework.
    --set takes any field of the network's config, the recipe and the augmentation. It also takes the settings for label
    files: label_map=255:1, reduce_zero_label=true, palette_labels and label_orientation.

    \b
    Examples:
      danet train --data cityscapes:/data/cityscapes --backend torch --out run --recipe official-cityscapes
      danet train --data camvid:camvid --backend jax --out run --network danet_r18 --backbone resnet18.pth
      danet train --data scenes --backend tf --out run --network danet_tiny --set steps=400 --set optimizer=adamw
      danet train --resume run --backend jax --stop-after 200
    """
    from danet_cli.train.data import Loading
    from danet_cli.train.display import summarise
    from danet_cli.train.drive import drive
    from danet_cli.train.plan import RunOptions
    from danet_cli.train.start import new_run, resumed_run
    from danet_common.extras import TRAINING, require_packages
    from danet_common.training.loop import StopReason

    require_packages("danet train", TRAINING)
    options = RunOptions(
        data=data,
        split=split,
        val=val,
        val_split=val_split,
        network=network,
        recipe=recipe,
        backbone=backbone,
        settings=settings or [],
        log_every=log_every,
        save_every=save_every,
        validate_every=validate_every,
        weights_key=weights_key,
    )
    if resume is None:
        run = new_run(options, backend, out)
    elif out is not None:
        raise typer.BadParameter("--out is for a new run; --resume RUN writes to RUN")
    else:
        run = resumed_run(options, backend, resume, stop_after)
    trainer, reason = drive(run, Loading(threads, workers), stop_after)
    if trainer.is_first:
        summarise(trainer.plan, run.folder, run.backend, trainer, reason)
    return ExitCode.INTERRUPTED if reason is StopReason.INTERRUPTED else ExitCode.DONE

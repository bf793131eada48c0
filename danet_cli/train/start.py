"""Start `danet train`: check its packages and its options, for a new or a resumed run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import typer

from danet_cli.backend import BackendName, default_backend
from danet_cli.console import CommandError
from danet_cli.train.plan import Run, RunOptions, longer_run, make_plan, resume_plan
from danet_common.training.folder import RunFolder


def new_run(options: RunOptions, backend: BackendName | None, out: Path | None) -> Run:
    """Return a run in a new folder. Raises, before any work, for options that cannot be."""
    if options.data is None or out is None:
        raise typer.BadParameter("a new run needs --data and --out; --resume RUN resumes one")
    folder = RunFolder(out)
    folder.require_new()
    plan, make_state = make_plan(options)
    state = make_state()
    return Run(plan, folder, lambda: (plan, state), backend or default_backend(), is_new=True)


def resumed_run(options: RunOptions, backend: BackendName | None, root: Path, stop_after: int | None) -> Run:
    """Return the run in a folder. Raises for options that would change it, and for a finished run."""
    folder = RunFolder(root)
    plan, training = resume_plan(folder, options, read_tensors=False)
    if stop_after is not None and stop_after > plan.recipe.steps == training.step:
        ended = f"--stop-after {stop_after}: the run ended at step {training.step}"
        raise CommandError(f"{ended}. To train longer: {longer_run(folder, stop_after)}")
    previous: Any = training.source.get("backend")
    if backend is None and previous is None:
        raise CommandError(f"{folder.last} does not name the run's framework; choose one with --backend")
    return Run(plan, folder, partial(resume_plan, folder, options), backend or previous, is_new=False)

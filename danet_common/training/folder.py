"""The files of a run's folder."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from danet_common.checkpoint import Checkpoint, write_checkpoint
from danet_common.checkpoint.run_weights import BEST, LAST, PLAN
from danet_common.files.atomic import atomic_file
from danet_common.files.regular_file import SETTINGS, read_regular
from danet_common.files.strict_json import parse_json
from danet_common.files.temporary import remove_leftovers
from danet_common.files.unfinished import abandoned_by
from danet_common.training.lock import RunError, locked
from danet_common.training.plan import RunPlan
from danet_common.training.state import read_state
from danet_common.training.training_checkpoint import (
    TrainingCheckpoint,
    ema_weights,
    in_memory,
    open_training,
    write_training,
)


class RunFolder:
    """The files of a run.

    plan     run.json, the options
    last     the training checkpoint to resume from
    best     the network with the highest mean IoU, as it was validated: to be used, converted, evaluated
    metrics  a JSON line for each logged step and each validation
    events   the same for TensorBoard
    curves   the same as a plot
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.plan = self.root / PLAN
        self.last = self.root / LAST
        self.best = self.root / BEST
        self.metrics = self.root / "metrics.jsonl"
        self.events = self.root / "events"
        self.curves = self.root / "curves.png"

    def require_new(self) -> None:
        """Raise RunError where a new run would meet files, or could not be written."""
        self.clean()
        if self.plan.exists():
            raise RunError(f"{self.root} holds a run; resume it: danet train --resume {self.root}")
        hint = "give the run a folder of its own with --out"
        target = Path(os.path.realpath(self.root))  # a link to an absent folder is followed
        place = next(place for place in (target, *target.parents) if os.path.lexists(place))
        if not place.is_dir():
            kind = "a file" if place.is_file() else "something else"
            raise RunError(f"{place} is {kind}, not a folder; {hint}")
        if place == target and any(self.root.iterdir()):
            raise RunError(f"{self.root} is not empty; {hint}")
        if not os.access(place, os.W_OK | os.X_OK):
            raise RunError(f"{place}: permission denied; {hint}")

    @contextmanager
    def created(self, plan: RunPlan, initial_state: TrainingCheckpoint) -> Iterator[None]:
        """Make the folder of a run before its first step, and keep other processes out of it. run.json comes last.

        Raises RunError where a new run would meet files, and where another process makes a run there meanwhile.
        """
        self.require_new()
        target = Path(os.path.realpath(self.root))
        remove = partial(self._remove, None if target.is_dir() else target)
        target.mkdir(parents=True, exist_ok=True)
        with locked(target, self.root):
            self.require_new()
            try:
                with abandoned_by(remove):
                    write_training(initial_state, self.last)
                    self.write_plan(plan)
            except BaseException:
                remove()
                raise
            yield

    def _remove(self, made: Path | None) -> None:
        """Remove what `created` has written, and the folder that it made."""
        for file in (self.plan, self.last):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            if made is not None:
                made.rmdir()

    def write_plan(self, plan: RunPlan) -> None:
        """Write the plan, atomically."""
        with atomic_file(self.plan) as temporary:
            temporary.write_text(json.dumps(plan.to_dict(), indent=2) + "\n")

    def set_steps(self, steps: int) -> None:
        """Change the run's number of steps. This process must hold the run."""
        plan = self.read_plan()
        if steps != plan.recipe.steps:
            self.write_plan(dataclasses.replace(plan, recipe=plan.recipe.replace(steps=steps)))

    def read_plan(self) -> RunPlan:
        """Return the plan. Raises RunError where there is no run, or its file is damaged."""
        if not os.path.lexists(self.plan):
            raise RunError(f"{self.root}: no run to resume: {self.plan.name} is missing")
        try:
            return RunPlan.from_dict(parse_json(read_regular(self.plan, SETTINGS)))
        except ValueError as error:
            raise RunError(f"{self.plan}: {error}") from None

    def open_last(self, plan: RunPlan) -> TrainingCheckpoint:
        """Open the last checkpoint; its tensors are read when they are asked for.

        Raises RunError where it is another run's, CheckpointError where it is damaged.
        """
        if not os.path.lexists(self.last):
            raise RunError(f"{self.last} is missing; cannot resume the run. Start a new run with --out")
        return self.of_this_run(open_training(self.last), plan)

    def of_this_run(self, training: TrainingCheckpoint, plan: RunPlan) -> TrainingCheckpoint:
        """Return the checkpoint with the plan's recipe. Raises RunError, naming the field, where it is another run's.

        The plan may have another number of steps than the checkpoint: a run that was made longer has.
        """
        theirs = {"config": training.config.to_dict(), "recipe": training.recipe.to_dict()}
        ours = {"config": plan.config.to_dict(), "recipe": plan.recipe.to_dict()}
        theirs["recipe"]["steps"] = plan.recipe.steps
        differing = [f"{part}.{name}" for part in ours for name in ours[part] if ours[part][name] != theirs[part][name]]
        if differing:
            raise RunError(f"{self.last}: of another network or recipe than {self.plan.name} says: {differing[0]}")
        if training.step > plan.recipe.steps:
            raise RunError(f"{self.last}: training.step is {training.step}; the run has {plan.recipe.steps} steps")
        try:
            read_state(training.data, plan, training.step, "training.data")
        except ValueError as error:
            raise RunError(f"{self.last}: {error}") from None
        return dataclasses.replace(training, recipe=plan.recipe)

    def read_last(self, plan: RunPlan) -> TrainingCheckpoint:
        """Return the last checkpoint with its tensors in memory. Raises as `open_last` does."""
        return in_memory(self.open_last(plan))

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes out of the run. Raises RunError where another process is in it."""
        return locked(self.root, self.root)

    def clean(self) -> None:
        """Remove what killed processes left of the run's own files, and nothing else."""
        for file in (self.plan, self.last, self.best, self.metrics, self.curves):
            remove_leftovers(file)

    def keep_best(self, training: TrainingCheckpoint) -> None:
        """Write the network that was validated, with the EMA in the weights' places, atomically."""
        source = {**training.source, "step": training.step, "best": training.data["best"]}
        write_checkpoint(Checkpoint(training.config, ema_weights(training), source=source), self.best)

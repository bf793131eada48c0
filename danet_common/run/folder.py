"""What lies in a run's folder, and under which names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from danet_common.atomic import atomic_directory
from danet_common.checkpoint import Checkpoint, write_checkpoint
from danet_common.regular_file import SETTINGS, open_regular, read_regular
from danet_common.run.plan import RunPlan
from danet_common.strict_json import parse_json
from danet_common.training_checkpoint import TrainingCheckpoint, averaged, read_training, write_training


class RunError(ValueError):
    """A run that cannot be begun or gone on with. The text is meant for the user."""


class RunFolder:
    """The files of one run.

    plan     everything that was asked
    last     the training checkpoint to go on from
    best     the network with the highest mean IoU, as it was validated: to be used, converted, evaluated
    metrics  one JSON line for each logged step and each validation
    events   the same for TensorBoard
    curves   the same as a picture
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.plan = self.root / "run.json"
        self.last = self.root / "last.safetensors"
        self.best = self.root / "best.safetensors"
        self.metrics = self.root / "metrics.jsonl"
        self.events = self.root / "events"
        self.curves = self.root / "curves.png"

    def require_new(self) -> None:
        """Raise RunError where a new run would meet files."""
        if self.plan.exists():
            raise RunError(f"{self.root} holds a run; go on with it: danet train --resume {self.root}")
        file = next((place for place in (self.root, *self.root.parents) if place.is_file()), None)
        if file is not None:
            raise RunError(f"{file} is a file, not a folder; give the run a folder of its own with --out")
        if self.root.exists() and any(self.root.iterdir()):
            raise RunError(f"{self.root} is not empty; give the run a folder of its own with --out")

    def create(self, plan: RunPlan, beginning: TrainingCheckpoint) -> None:
        """Make the folder of a run before its first step: whole, or not at all."""
        self.require_new()
        self.root.absolute().parent.mkdir(parents=True, exist_ok=True)
        with atomic_directory(self.root) as temporary:
            temporary.mkdir()
            new = RunFolder(temporary)
            new.plan.write_text(json.dumps(plan.to_dict(), indent=2) + "\n")
            new.metrics.touch()
            new.events.mkdir()
            write_training(beginning, new.last)

    def read_plan(self) -> RunPlan:
        """What was asked. Raises RunError where there is no run, or its file is damaged."""
        if not self.plan.is_file():
            raise RunError(f"{self.root}: no run to go on with, as there is no {self.plan.name} in it")
        try:
            return RunPlan.from_dict(parse_json(read_regular(self.plan, SETTINGS)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{self.plan}: damaged: {error}") from None

    def read_last(self, plan: RunPlan) -> TrainingCheckpoint:
        """Where the run is. Raises RunError where that is another run's, CheckpointError where it is damaged."""
        if not self.last.is_file():
            raise RunError(f"{self.last}: no such file; the run cannot be gone on with")
        training = read_training(self.last)
        if (training.config, training.recipe) != (plan.config, plan.recipe):
            raise RunError(f"{self.last}: of another network or recipe than {self.plan.name} says")
        return training

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes out. Raises RunError where one is in the run.

        A file system without locks keeps nobody out, nor does Windows.
        """
        with open_regular(self.plan, SETTINGS) as file:
            if os.name == "posix":
                import fcntl

                try:
                    fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise RunError(f"{self.root}: another process is training this run") from None
                except OSError:
                    pass  # of the file system, which has no locks
            yield

    def clean(self) -> None:
        """Remove the parts of files that a killed process was writing."""
        for part in self.root.glob(".*.part"):
            part.unlink()

    def keep_best(self, training: TrainingCheckpoint) -> None:
        """Write the network that was validated, with the moving averages in the weights' places, atomically."""
        source = {**training.source, "step": training.step, "best": training.data["best"]}
        write_checkpoint(Checkpoint(training.config, averaged(training), source=source), self.best)

"""The loop: batches in, steps done, files written. The framework computes; everything else is here.

A run that was killed goes on from its last checkpoint and repeats what came after that, bit for bit: a step depends
on the recipe, the weights, the batch and its number alone, and what the loop itself remembers (the losses since the
last line of the metrics file, the best mean IoU, the last validation) lies in the checkpoint too.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import Any

import numpy as np

from danet_common.checkpoint import Checkpoint
from danet_common.config.recipe import learning_rate
from danet_common.config.typed_json import from_json
from danet_common.data.batches import Batch
from danet_common.data.dataset import DataError, Dataset
from danet_common.data.loader import Loader
from danet_common.evaluation.metrics import scores
from danet_common.training.callback import Callback
from danet_common.training.curves import draw_curves
from danet_common.training.events import Events
from danet_common.training.folder import RunFolder
from danet_common.training.framework import Framework
from danet_common.training.metrics_file import MetricsFile, read_metrics
from danet_common.training.plan import RunPlan
from danet_common.training.signals import Interruption
from danet_common.training.state import RunState
from danet_common.training.training_checkpoint import TrainingCheckpoint, averaged, write_training
from danet_common.training.validation import judge

DRAWING_SECONDS = 60  # at least, between two pictures of the curves


class DivergenceError(ValueError):
    """A run whose numbers are no longer numbers. The text is meant for the user."""


class StopReason(Enum):
    """Why the loop ended."""

    FINISHED = "finished"  # the recipe's last step is done
    PAUSED = "paused"  # the step that it was to stop after is done
    INTERRUPTED = "interrupted"  # a signal came


def data_state(loader: Loader, validation: Dataset | None) -> dict[str, Any]:
    """JSON-ready: where in the data a run is, and which they are."""
    return {"loader": loader.state(), "validation": None if validation is None else validation.fingerprint()}


def restore_data_state(state: RunState, loader: Loader, validation: Dataset | None) -> None:
    """Go on in the data from where a run was. Raises ValueError where they are other data."""
    loader.go_to(state.loader)
    if validation is not None and validation.fingerprint() != state.validation:
        raise ValueError(f"{validation.title}: not the pictures that the run was validated with before")


class Trainer:
    """One process's part of a run, from a checkpoint on. Every process does the same; the first one writes the files.

    best  the step and mean IoU of best.safetensors, None before there is one
    """

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        framework: Framework,
        engine: Any,
        training: TrainingCheckpoint,
        loader: Loader,
        validation: Dataset | None,
        watcher: Callback,
    ) -> None:
        self.plan, self.folder, self.framework, self.engine = plan, folder, framework, engine
        self.loader, self.validation, self.watcher = loader, validation, watcher
        self.leads = engine.process_index == 0
        height, width = plan.augmentation.crop
        pixels = training.recipe.batch_size * height * width
        self.state = framework.restore(training, engine, pixels=pixels)
        # Built once and filled at each validation: TensorFlow's rounding depends on how many networks a process made.
        network = Checkpoint(training.config, averaged(training))
        self.inference = None if validation is None else framework.from_checkpoint(network)
        memory = from_json(RunState, training.data, "training.data")
        restore_data_state(memory, loader, validation)
        self.best: dict[str, Any] | None = None if memory.best is None else dataclasses.asdict(memory.best)
        self.validated: int = memory.validated  # the step
        self.losses: list[Mapping[str, Any]] = [*memory.losses]  # of the steps since the last line
        self.first = self.saved = self.timed = training.step
        self.clock, self.drawn = time.perf_counter(), -math.inf
        if self.leads:
            folder.clean()
            if self.best is not None and self.best["step"] == training.step:
                folder.keep_best(training)  # the process may have been killed between the two
            self.metrics = MetricsFile(folder.metrics, plan, training.step, self.validated)
            self.events = Events(folder.events, training.step)

    def advance(self, stop_after: int | None = None) -> StopReason:
        """Train until a step, the recipe's last one if not given, or until a signal comes.

        Raises Diverged where a loss or a weight is no finite number; the last checkpoint is then an earlier, good one.
        """
        steps = self.plan.recipe.steps
        until = steps if stop_after is None else min(stop_after, steps)
        with Interruption(self.watcher.stopping) as interruption:
            self._validate_if_due(interruption)
            while self.state.step < until and not self._ends(interruption):
                self._step()
                if self._is_due(self.plan.intervals.save):
                    self._save()
                self._validate_if_due(interruption)
            if self.saved != self.state.step:
                self._save()
        self._draw()
        if self.state.step == steps and not self._validation_is_due():
            return StopReason.FINISHED
        return StopReason.INTERRUPTED if interruption.asked else StopReason.PAUSED

    def close(self) -> None:
        """Close the files and stop reading ahead."""
        self.loader.close()
        if self.leads:
            self.metrics.close()
            self.events.close()

    def _is_due(self, intervals: int) -> bool:
        return self.state.step % intervals == 0 or self.state.step == self.plan.recipe.steps

    def _ends(self, interruption: Interruption) -> bool:
        """Whether a signal came to any process. Several ask each other only at logged steps: it makes them wait.

        A validation that is due still was cut off, so they end there, or it would never be done.
        """
        if self.engine.process_count == 1:
            return interruption.asked
        if not self._is_due(self.plan.intervals.log) and not self._validation_is_due():
            return False
        interruption.asked = bool(self.engine.sum(np.array([int(interruption.asked)]))[0])
        return interruption.asked

    def _step(self) -> None:
        batch = self._next_batch()
        first_row = self.engine.process_index * len(batch["labels"])
        self.losses.append(self.framework.train_step(self.state, batch, first_row))
        self.watcher.stepped(self.state.step)
        if self._is_due(self.plan.intervals.log):
            self._log()
        elif self.state.step == self.first + 1:  # what a framework prepares in its first step is not its pace
            self.timed, self.clock = self.state.step, time.perf_counter()

    def _next_batch(self) -> Batch:
        """That of the next step. Where a picture is damaged, what was learned before it is kept."""
        try:
            return next(self.loader)
        except DataError:
            if self.engine.process_count == 1:  # others would have to save too, and know nothing of it
                self._save()
            raise

    def _log(self) -> None:
        """One line for the steps since the one before."""
        losses, step, now = self._read_losses(), self.state.step, time.perf_counter()
        pictures = (step - self.timed) * self.plan.recipe.batch_size
        self._write(
            {
                "step": step,
                "losses": {name: math.fsum(loss[name] for loss in losses) / len(losses) for name in losses[0]},
                "learning_rate": learning_rate(self.plan.recipe, step - 1),
                "images_per_second": pictures / (now - self.clock),
                "backend": self.framework.name,
            },
            self.watcher.logged,
        )
        self.losses, self.timed, self.clock = [], step, now

    def _read_losses(self) -> list[Mapping[str, float]]:
        """The losses since the last line as numbers: until they are asked for, the device may still be at work."""
        names = ("loss", *self.plan.config.outputs)
        losses: list[Mapping[str, float]] = [{name: float(loss[name]) for name in names} for loss in self.losses]
        for step, loss in enumerate(losses, start=self.state.step - len(losses) + 1):
            if not all(math.isfinite(value) for value in loss.values()):
                raise self._diverged(f"the loss of step {step} is {loss['loss']}")
        self.losses = [*losses]
        return losses

    def _diverged(self, what: str) -> DivergenceError:
        return DivergenceError(
            f"{what}; {self.folder.last} holds step {self.saved}; try a lower learning_rate, warmup_steps or clip_norm"
        )

    def _write(self, record: dict[str, Any], show: Any) -> None:
        if self.leads:
            self.metrics.write(record)
            self.events.write(record)
        show(record)

    def _save(self) -> TrainingCheckpoint:
        """Write the last checkpoint; all processes give their part of it."""
        losses = self._read_losses()
        memory = {"best": self.best, "validated": self.validated, "losses": losses}
        training = self.framework.capture(self.state, {**data_state(self.loader, self.validation), **memory})
        for name, array in {**training.tensors, **training.slots}.items():
            if not np.isfinite(array).all():
                raise self._diverged(f"after step {training.step} {name} is not finite")
        if self.leads:
            self.metrics.sync()
            write_training(training, self.folder.last)
        self.saved = training.step
        return training

    def _validation_is_due(self) -> bool:
        """Whether there is one of this step that was not done: before it a run may be killed or interrupted."""
        due = self.state.step > 0 and self._is_due(self.plan.intervals.validate)
        return self.validation is not None and due and self.validated < self.state.step

    def _validate_if_due(self, interruption: Interruption) -> None:
        if not self._validation_is_due():
            return
        assert self.validation is not None
        training, paused = self._save(), time.perf_counter()
        self.framework.set_tensors(self.inference, averaged(training))
        matrix = judge(
            partial(self.framework.infer, self.inference),
            self.plan.config,
            self.validation,
            self.engine,
            self.watcher.validating,
            lambda: interruption.asked,
        )
        if matrix is None:
            interruption.asked = True
            return
        found = scores(matrix).to_dict(self.validation.names)
        chosen = {name: found[name] for name in ("mean_iou", "pixel_accuracy", "iou")}
        self._write({"step": training.step, **chosen, "backend": self.framework.name}, self.watcher.validated)
        self._remember(found["mean_iou"])
        self.clock += time.perf_counter() - paused  # the pace is that of training
        if time.perf_counter() - self.drawn > DRAWING_SECONDS:
            self._draw()

    def _remember(self, mean_iou: float) -> None:
        """Note this step's validation in the last checkpoint, and keep that if it is the best."""
        self.validated = self.state.step
        better = self.best is None or mean_iou > self.best["mean_iou"]
        if better:
            self.best = {"step": self.state.step, "mean_iou": mean_iou}
        training = self._save()
        if better and self.leads:
            self.folder.keep_best(training)

    def _draw(self) -> None:
        if self.leads:
            draw_curves(read_metrics(self.folder.metrics), self.folder.curves)
            self.drawn = time.perf_counter()

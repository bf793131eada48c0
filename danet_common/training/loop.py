"""The training loop: reads batches, trains steps, writes files. The framework computes.

A killed run resumes from its last checkpoint and repeats the steps after that, bit for bit. A step depends only on
the recipe, the weights, the batch and its number. The checkpoint also holds what the loop remembers: the losses since
the last line of the metrics file, the best mean IoU and the last validation.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any

import numpy as np

from danet_common.checkpoint import Checkpoint
from danet_common.config.recipe import learning_rate
from danet_common.config.typed_json import from_json
from danet_common.data.dataset import DataError, Dataset
from danet_common.data.loader import Batch, Loader
from danet_common.evaluation.metrics import scores
from danet_common.training.callback import Callback
from danet_common.training.curves import draw_curves
from danet_common.training.events import Events
from danet_common.training.folder import RunFolder
from danet_common.training.framework import Distributed, Framework
from danet_common.training.metrics_file import MetricsFile, read_metrics
from danet_common.training.plan import RunPlan
from danet_common.training.signals import Interruption
from danet_common.training.state import RunState
from danet_common.training.training_checkpoint import TrainingCheckpoint, ema_weights, write_training
from danet_common.training.validation import validate

DRAWING_SECONDS = 60  # at least, between two drawings of the curves


class DivergenceError(ValueError):
    """A loss or a weight is not finite. The text is meant for the user."""


class StopReason(Enum):
    """The reason why training stopped."""

    FINISHED = "finished"  # the recipe's last step is done
    PAUSED = "paused"  # the step that it was to stop after is done
    INTERRUPTED = "interrupted"  # a signal came


def data_state(loader: Loader, validation: Dataset | None) -> dict[str, Any]:
    """Return, JSON-ready, a run's position in the data and the fingerprints of its data sets."""
    return {"loader": loader.state(), "validation": None if validation is None else validation.fingerprint()}


class Trainer:
    """One process's part of a run, from a checkpoint on. All processes do the same; the first one writes the files.

    best  the step and mean IoU of best.safetensors, None before there is one

    Raises ValueError where the data sets are not those of the checkpoint.
    """

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        framework: Framework,
        distributed: Distributed,
        training: TrainingCheckpoint,
        loader: Loader,
        validation: Dataset | None,
        callback: Callback,
    ) -> None:
        self.plan, self.folder, self.framework, self.distributed = plan, folder, framework, distributed
        self.loader, self.validation, self.callback = loader, validation, callback
        self.is_first = distributed.process_index == 0
        height, width = plan.augmentation.crop
        pixels = training.recipe.batch_size * height * width
        self.state = framework.restore(training, distributed, pixels=pixels)
        # Built once and filled at each validation: TensorFlow's rounding depends on how many networks a process made.
        network = Checkpoint(training.config, ema_weights(training))
        self.inference = None if validation is None else framework.from_checkpoint(network)
        memory = from_json(RunState, training.data, "training.data")
        loader.go_to(memory.loader)
        if validation is not None and validation.fingerprint() != memory.validation:
            raise ValueError(f"{validation.title}: not the images that the run was validated with before")
        self.best: dict[str, Any] | None = None if memory.best is None else dataclasses.asdict(memory.best)
        self.validated: int = memory.validated  # the step
        self.losses: list[Mapping[str, Any]] = [*memory.losses]  # of the steps since the last line
        self.first = self.saved = self.timed = training.step
        self.clock, self.drawn = time.perf_counter(), -math.inf
        if self.is_first:
            folder.clean()
            if self.best is not None and self.best["step"] == training.step:
                folder.keep_best(training)  # the process may have been killed between the two
            self.metrics = MetricsFile(folder.metrics, plan, training.step, self.validated)
            self.events = Events(folder.events, training.step)

    def train(self, stop_after: int | None = None) -> StopReason:
        """Train until step `stop_after`, by default the recipe's last one, or until a signal comes.

        Raises DivergenceError where a loss or a weight is not finite; the last checkpoint is then an earlier, good one.
        """
        steps = self.plan.recipe.steps
        until = steps if stop_after is None else min(stop_after, steps)
        with Interruption(self.callback.stopping) as interruption:
            self._validate_if_due(interruption)
            while self.state.step < until and not self._is_interrupted(interruption):
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
        """Close the files and the loader."""
        self.loader.close()
        if self.is_first:
            self.metrics.close()
            self.events.close()

    def _is_due(self, interval: int) -> bool:
        return self.state.step % interval == 0 or self.state.step == self.plan.recipe.steps

    def _is_interrupted(self, interruption: Interruption) -> bool:
        """True if a signal came to any process. Several processes ask each other only at logged steps: it takes time.

        They ask each other too where an interrupted validation is still due, so that all end there.
        """
        if self.distributed.process_count == 1:
            return interruption.asked
        if not self._is_due(self.plan.intervals.log) and not self._validation_is_due():
            return False
        interruption.asked = bool(self.distributed.sum(np.array([int(interruption.asked)]))[0])
        return interruption.asked

    def _step(self) -> None:
        batch = self._next_batch()
        first_row = self.distributed.process_index * len(batch["labels"])
        self.losses.append(self.framework.train_step(self.state, batch, first_row))
        self.callback.stepped(self.state.step)
        if self._is_due(self.plan.intervals.log):
            self._log()
        elif self.state.step == self.first + 1:  # compilation in the first step does not count as its speed
            self.timed, self.clock = self.state.step, time.perf_counter()

    def _next_batch(self) -> Batch:
        """Return the batch of the next step. Where an image is damaged, the steps before it are saved."""
        try:
            return next(self.loader)
        except DataError:
            if self.distributed.process_count == 1:  # the others would have to save too, and do not know of it
                self._save()
            raise

    def _log(self) -> None:
        """Write a line about the steps since the line before."""
        losses, step, now = self._read_losses(), self.state.step, time.perf_counter()
        images = (step - self.timed) * self.plan.recipe.batch_size
        self._write(
            {
                "step": step,
                "losses": {name: math.fsum(loss[name] for loss in losses) / len(losses) for name in losses[0]},
                "learning_rate": learning_rate(self.plan.recipe, step - 1),
                "images_per_second": images / (now - self.clock),
                "backend": self.framework.name,
            },
            self.callback.logged,
        )
        self.losses, self.timed, self.clock = [], step, now

    def _read_losses(self) -> list[Mapping[str, float]]:
        """Return the losses since the last line as numbers; this waits for the device."""
        names = ("loss", *self.plan.config.outputs)
        losses: list[Mapping[str, float]] = [{name: float(loss[name]) for name in names} for loss in self.losses]
        for step, loss in enumerate(losses, start=self.state.step - len(losses) + 1):
            if not all(math.isfinite(value) for value in loss.values()):
                raise self._divergence(f"the loss of step {step} is {loss['loss']}")
        self.losses = [*losses]
        return losses

    def _divergence(self, what: str) -> DivergenceError:
        return DivergenceError(
            f"{what}; {self.folder.last} holds step {self.saved}; try a lower learning_rate, warmup_steps or clip_norm"
        )

    def _write(self, record: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> None:
        if self.is_first:
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
                raise self._divergence(f"after step {training.step} {name} is not finite")
        if self.is_first:
            self.metrics.sync()
            write_training(training, self.folder.last)
        self.saved = training.step
        return training

    def _validation_is_due(self) -> bool:
        """True if this step's validation was not done; a run may be killed or interrupted before it."""
        due = self.state.step > 0 and self._is_due(self.plan.intervals.validate)
        return self.validation is not None and due and self.validated < self.state.step

    def _validate_if_due(self, interruption: Interruption) -> None:
        if not self._validation_is_due():
            return
        assert self.validation is not None
        training, paused = self._save(), time.perf_counter()
        self.framework.set_tensors(self.inference, ema_weights(training))
        matrix = validate(
            partial(self.framework.predict_logits, self.inference),
            self.plan.config,
            self.validation,
            self.distributed,
            self.callback.validating,
            lambda: interruption.asked,
        )
        if matrix is None:
            interruption.asked = True
            return
        result = scores(matrix).to_dict(self.validation.names)
        record = {name: result[name] for name in ("mean_iou", "pixel_accuracy", "iou")}
        self._write({"step": training.step, **record, "backend": self.framework.name}, self.callback.validated)
        self._remember(result["mean_iou"])
        self.clock += time.perf_counter() - paused  # validation does not count as training time
        if time.perf_counter() - self.drawn > DRAWING_SECONDS:
            self._draw()

    def _remember(self, mean_iou: float) -> None:
        """Note this step's validation in the last checkpoint, and keep that if it is the best."""
        self.validated = self.state.step
        better = self.best is None or mean_iou > self.best["mean_iou"]
        if better:
            self.best = {"step": self.state.step, "mean_iou": mean_iou}
        training = self._save()
        if better and self.is_first:
            self.folder.keep_best(training)

    def _draw(self) -> None:
        if self.is_first:
            draw_curves(read_metrics(self.folder.metrics), self.folder.curves)
            self.drawn = time.perf_counter()

"""Show a training run: a live display on a terminal, a line from time to time elsewhere."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from danet_cli.console import console, print_facts, print_note, restore_terminal
from danet_cli.settings import summary
from danet_cli.train.data import RunData
from danet_cli.train.plan import longer_run
from danet_common.files.unfinished import abandoned_by
from danet_common.training.callback import Callback
from danet_common.training.folder import RunFolder
from danet_common.training.framework import Distributed
from danet_common.training.loop import StopReason, Trainer
from danet_common.training.plan import RunPlan
from danet_common.training.sharing import resolve_remat
from danet_common.training.training_checkpoint import TrainingCheckpoint

LINE_SECONDS = 10  # at least, between two lines of training
STOPPING = "stopping when this step is done; Ctrl-C again stops at once"


class Display(Callback):
    """Keep the figures, and print them in lines on standard error."""

    def __init__(self, plan: RunPlan, training: TrainingCheckpoint, until: int) -> None:
        self.plan, self.until, self.first = plan, until, training.step
        self.figures: dict[str, str] = {}
        self.printed = 0.0

    def logged(self, record: Mapping[str, Any]) -> None:
        losses, speed = dict(record["losses"]), record["images_per_second"]
        total = losses.pop("loss")
        seconds = (self.until - record["step"]) * self.plan.recipe.batch_size / speed
        outputs = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.figures |= {
            "loss": f"{total:.4f} ({outputs})",
            "rate": f"{record['learning_rate']:.2e}",
            "images/s": f"{speed:.1f}",
            "left": str(timedelta(seconds=round(seconds))),
        }
        self.show_training(record["step"])

    def validated(self, record: Mapping[str, Any]) -> None:
        self.figures["mIoU"] = f"{record['mean_iou']:.4f} at step {record['step']}"
        self.show_validation(record)

    def line(self) -> str:
        """All figures in a line."""
        return "  ".join(f"{name} {value}" for name, value in self.figures.items())

    def show_training(self, step: int) -> None:
        """Print the figures, unless the last line is recent."""
        if time.monotonic() - self.printed > LINE_SECONDS or step == self.until:
            self.printed = time.monotonic()
            print_note(f"step {step}/{self.plan.recipe.steps}  {self.line()}")

    def show_validation(self, record: Mapping[str, Any]) -> None:
        """Print the figures of a validation."""
        figures = f"mIoU {record['mean_iou']:.4f}  pixel accuracy {record['pixel_accuracy']:.4f}"
        print_note(f"step {record['step']}/{self.plan.recipe.steps}  validation  {figures}")

    def stopping(self) -> None:
        print_note(STOPPING)


class LiveDisplay(Display):
    """A bar and the figures, on a terminal."""

    def __init__(self, plan: RunPlan, training: TrainingCheckpoint, until: int) -> None:
        super().__init__(plan, training, until)
        self.bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.training = self.bar.add_task("training", total=until, completed=self.first)
        self.validation = self.bar.add_task("validating", total=None, visible=False)
        self.text = Text("the first step compiles or warms up")
        self.stack = ExitStack()
        self.live = Live(Group(self.bar, self.text), console=console(stderr=True), refresh_per_second=4)

    def stepped(self, step: int) -> None:
        self.bar.update(self.training, completed=step)

    def show_training(self, step: int) -> None:
        self.text.plain = self.line()

    def validating(self, done: int, count: int) -> None:
        self.bar.update(self.validation, completed=done, total=count, visible=True)

    def show_validation(self, record: Mapping[str, Any]) -> None:
        self.bar.update(self.validation, visible=False)
        self.text.plain = self.line()

    def stopping(self) -> None:
        self.text.plain = STOPPING

    def __enter__(self) -> LiveDisplay:
        self.stack.enter_context(abandoned_by(restore_terminal))
        self.stack.enter_context(self.live)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()


def open_display(plan: RunPlan, training: TrainingCheckpoint, until: int) -> Display:
    """Return the display for standard error, a context manager."""
    return (LiveDisplay if sys.stderr.isatty() else Display)(plan, training, until)


def describe(
    plan: RunPlan,
    folder: RunFolder,
    backend: str,
    distributed: Distributed,
    training: TrainingCheckpoint,
    data: RunData,
) -> None:
    """Print what is about to run."""
    recipe, (height, width) = plan.recipe, plan.augmentation.crop
    weights = sum(array.size for name, array in training.tensors.items() if "running_" not in name)
    print_note(f"network     {plan.network}: {summary(plan.config)}, {weights / 1e6:.1f} million weights")
    validation = "no validation" if data.val is None else f"validated with {len(data.val)} of {data.val.title}"
    print_note(f"data        {len(data.train)} of {data.train.title}, crops of {height}x{width}; {validation}")
    name = f"{plan.recipe_name}: " if plan.recipe_name else ""
    print_note(
        f"recipe      {name}{recipe.optimizer}, rate {recipe.learning_rate:g}, {recipe.steps} steps of "
        f"{recipe.batch_size} images, {recipe.dtype}, seed {recipe.seed}"
    )
    remat = resolve_remat(recipe, recipe.batch_size * height * width, distributed.device_count)
    start = f"from step {training.step}" if training.step else "from the first step"
    checkpointing = ", activation checkpointing" if remat else ""
    print_note(f"run         {folder.root} in {backend}, {distributed.describe()}, {start}{checkpointing}")


def note_last_step(plan: RunPlan, folder: RunFolder, step: int, stop_after: int | None) -> None:
    """Note options that change the last step, or have no effect."""
    before, steps = folder.read_plan().recipe.steps, plan.recipe.steps
    if steps != before:
        print_note(f"steps={steps}: they were {before}; from step {step} on the learning rate follows the new schedule")
    if stop_after is not None and stop_after <= step:
        print_note(f"--stop-after {stop_after}: nothing to train, the run is at step {step} already")
    elif stop_after is not None and stop_after > steps:
        longer = longer_run(folder, stop_after)
        print_note(f"--stop-after {stop_after}: the run ends at step {steps}. To train longer: {longer}")


def summarise(plan: RunPlan, folder: RunFolder, backend: str, trainer: Trainer, reason: StopReason) -> None:
    """Print the results, the files, and the next command."""
    facts = {"steps": f"{trainer.state.step} of {plan.recipe.steps}"}
    if trainer.best is not None:
        facts["best mIoU"] = f"{trainer.best['mean_iou']:.4f} at step {trainer.best['step']}"
    files = (folder.last, folder.best, folder.metrics, folder.events, folder.curves)
    facts["files"] = "  ".join(path.name for path in files if path.exists())
    if reason is StopReason.FINISHED:
        words = ["danet", "eval", "--data", plan.val or plan.data]
        words += [] if plan.val_split == "val" else ["--split", plan.val_split]
        words += [word for assignment in plan.labels.assignments for word in ("--set", assignment)]
        words += ["--weights", str(folder.best if folder.best.exists() else folder.last), "--backend", backend]
        facts["next"] = shlex.join(words)
    else:
        facts["resume"] = shlex.join(["danet", "train", "--resume", str(folder.root)])
    print_facts(f"Run {folder.root}: {reason.value}", facts)

"""What a person sees of a training run: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from danet_cli.console import console, print_facts, print_note, restore_terminal
from danet_cli.settings import summary
from danet_common.files.unfinished import abandoned_by
from danet_common.training.callback import Callback
from danet_common.training.sharing import resolve_remat

if TYPE_CHECKING:
    from danet_common.data import Dataset
    from danet_common.training import RunFolder, RunPlan, StopReason, Trainer
    from danet_common.training.training_checkpoint import TrainingCheckpoint

CALM_SECONDS = 10  # at least, between two lines that are not about a validation


class Display(Callback):
    """Keeps the figures that both displays show."""

    def __init__(self, plan: RunPlan, training: TrainingCheckpoint, until: int) -> None:
        self.plan, self.until, self.first = plan, until, training.step
        self.figures: dict[str, str] = {}

    def logged(self, record: Mapping[str, Any]) -> None:
        losses, pace = dict(record["losses"]), record["images_per_second"]
        total = losses.pop("loss")
        seconds = (self.until - record["step"]) * self.plan.recipe.batch_size / pace
        each = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.figures |= {
            "loss": f"{total:.4f} ({each})",
            "rate": f"{record['learning_rate']:.2e}",
            "images/s": f"{pace:.1f}",
            "left": in_hours(seconds),
        }

    def validated(self, record: Mapping[str, Any]) -> None:
        self.figures["mIoU"] = f"{record['mean_iou']:.4f} at step {record['step']}"

    def line(self) -> str:
        """All figures."""
        return "  ".join(f"{name} {value}" for name, value in self.figures.items())


class PlainDisplay(Display):
    """Lines on standard error, at a calm pace."""

    def __init__(self, plan: RunPlan, training: TrainingCheckpoint, until: int) -> None:
        super().__init__(plan, training, until)
        self.printed = 0.0

    def logged(self, record: Mapping[str, Any]) -> None:
        super().logged(record)
        if time.monotonic() - self.printed > CALM_SECONDS or record["step"] == self.until:
            self.printed = time.monotonic()
            print_note(f"step {record['step']}/{self.plan.recipe.steps}  {self.line()}")

    def validated(self, record: Mapping[str, Any]) -> None:
        super().validated(record)
        figures = f"mIoU {record['mean_iou']:.4f}  pixel accuracy {record['pixel_accuracy']:.4f}"
        print_note(f"step {record['step']}/{self.plan.recipe.steps}  validation  {figures}")

    def stopping(self) -> None:
        print_note("stopping when this step is done; Ctrl-C again stops at once")


class LiveDisplay(Display):
    """A bar and the figures, on a terminal."""

    def __init__(self, plan: RunPlan, training: TrainingCheckpoint, until: int) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.text import Text

        super().__init__(plan, training, until)
        self.bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.training = self.bar.add_task("training", total=until, completed=self.first)
        self.validation = self.bar.add_task("validating", total=None, visible=False)
        self.text = Text("the first step compiles or warms up")
        self.restoring = ExitStack()
        self.live = Live(Group(self.bar, self.text), console=console(stderr=True), refresh_per_second=4)

    def stepped(self, step: int) -> None:
        self.bar.update(self.training, completed=step)

    def logged(self, record: Mapping[str, Any]) -> None:
        super().logged(record)
        self.text.plain = self.line()

    def validating(self, done: int, count: int) -> None:
        self.bar.update(self.validation, completed=done, total=count, visible=True)

    def validated(self, record: Mapping[str, Any]) -> None:
        super().validated(record)
        self.bar.update(self.validation, visible=False)
        self.text.plain = self.line()

    def stopping(self) -> None:
        self.text.plain = "stopping when this step is done; Ctrl-C again stops at once"

    def __enter__(self) -> LiveDisplay:
        self.restoring.enter_context(abandoned_by(restore_terminal))
        self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()
        self.restoring.close()


def open_display(plan: RunPlan, training: TrainingCheckpoint, until: int) -> Display:
    """The one for this terminal, or for none; use it as a context manager."""
    return (LiveDisplay if sys.stderr.isatty() else PlainDisplay)(plan, training, until)


def in_hours(seconds: float) -> str:
    """H:MM:SS."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def describe(
    plan: RunPlan,
    folder: RunFolder,
    backend: str,
    engine: Any,
    training: TrainingCheckpoint,
    learned: Dataset,
    validated: Dataset | None,
) -> None:
    """What is about to run, on standard error."""
    recipe, crop = plan.recipe, plan.augmentation.crop
    weights = sum(array.size for name, array in training.tensors.items() if "running_" not in name)
    print_note(f"network     {plan.network}: {summary(plan.config)}, {weights / 1e6:.1f} million weights")
    judged = "no validation" if validated is None else f"validated with {len(validated)} of {validated.title}"
    print_note(f"data        {len(learned)} of {learned.title}, crops of {crop[0]}x{crop[1]}; {judged}")
    named = f"{plan.recipe_name}: " if plan.recipe_name else ""
    print_note(
        f"recipe      {named}{recipe.optimizer}, rate {recipe.learning_rate:g}, {recipe.steps} steps of "
        f"{recipe.batch_size} pictures, {recipe.dtype}, seed {recipe.seed}"
    )
    pixels = recipe.batch_size * crop[0] * crop[1]
    again = ", activations computed again" if resolve_remat(recipe, pixels, engine.device_count) else ""
    where = f"from step {training.step}" if training.step else "from the first step"
    print_note(f"run         {folder.root} in {backend}, {engine.describe()}, {where}{again}")


def summarise(plan: RunPlan, folder: RunFolder, backend: str, run: Trainer, ending: StopReason) -> None:
    """How the run did, what it left, and what to type next."""
    step, steps, root = run.state.step, plan.recipe.steps, shlex.quote(str(folder.root))
    facts = {"steps": f"{step} of {steps}"}
    if run.best is not None:
        facts["best mIoU"] = f"{run.best['mean_iou']:.4f} at step {run.best['step']}"
    files = (folder.last, folder.best, folder.metrics, folder.events, folder.curves)
    facts["files"] = "  ".join(path.name for path in files if path.exists())
    if ending.value == "finished":
        weights = shlex.quote(str(folder.best if folder.best.exists() else folder.last))
        data = shlex.quote(plan.val or plan.data)
        split = "" if plan.val_split == "val" else f" --split {shlex.quote(plan.val_split)}"
        split += "".join(f" --set {assignment}" for assignment in plan.labels.assignments)
        facts["next"] = f"danet eval --data {data}{split} --weights {weights} --backend {backend}"
    else:
        facts["go on"] = f"danet train --resume {root}"
    print_facts(f"Run {folder.root}: {ending.value}", facts)

"""The rows of an ablation: runs that differ only in their context modules, and their results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from danet_cli.backend import BackendName
from danet_cli.console import CommandError, ExitCode, print_error, print_note
from danet_cli.contexts import chosen_contexts, name_of
from danet_cli.settings import parse_assignments
from danet_cli.train.data import Loading
from danet_cli.train.drive import drive
from danet_cli.train.plan import Run, RunOptions, make_plan
from danet_common.config.parameters import count_trainable
from danet_common.training.folder import RunFolder
from danet_common.training.loop import DivergenceError, StopReason
from danet_common.training.metrics_file import read_metrics
from danet_common.training.plan import RunPlan
from danet_common.training.training_checkpoint import TrainingCheckpoint

# The authors train a network of one attention with one loss (issue 30 of their repository): the branch's own classifier
# would see the same features as the fused one.
ONE_LOSS = "branch_classifiers=false"


@dataclass(frozen=True)
class Row:
    """One run: its plan, its folder, and the function that makes its state before the first step."""

    network: str
    plan: RunPlan
    folder: RunFolder
    initial_state: Callable[[], TrainingCheckpoint]

    @property
    def title(self) -> str:
        """Network and context modules, for people."""
        return f"{self.network} {name_of(self.plan.config.context)}"

    @property
    def has_begun(self) -> bool:
        """True if there is a run to resume."""
        return self.folder.plan.exists()

    @property
    def is_finished(self) -> bool:
        """True if the network was validated after the last step."""
        return bool(self.validations) and self.validations[-1]["step"] == self.plan.recipe.steps

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of the metrics file."""
        return read_metrics(self.folder.metrics) if self.has_begun else []

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The lines of the metrics file that are validations."""
        return [record for record in self.metrics if "mean_iou" in record]

    @property
    def seconds(self) -> float:
        """Training time at the logged speed, without compilation and validation."""
        before, total = 0, 0.0
        for record in self.metrics:
            if "losses" in record:
                total += (record["step"] - before) * self.plan.recipe.batch_size / record["images_per_second"]
                before = record["step"]
        return total

    def read(self) -> tuple[RunPlan, TrainingCheckpoint]:
        """Return the run and its present state."""
        if not self.has_begun:
            return self.plan, self.initial_state()
        self.require_same_run()
        return self.plan, self.folder.read_last(self.plan)

    def require_same_run(self) -> None:
        """Raise CommandError or RunError where the folder holds anything but this run."""
        if not self.has_begun:
            self.folder.require_new()
            return
        plan = self.folder.read_plan()
        names = [field.name for field in dataclasses.fields(plan) if field.name != "version"]
        differing = [name for name in names if getattr(plan, name) != getattr(self.plan, name)]
        if differing:
            raise CommandError(
                f"{self.folder.root}: a run that differs in {', '.join(differing)}; choose another --out"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the results, JSON-ready."""
        config, last = self.plan.config, self.validations[-1]
        return {
            "network": self.network,
            "context": list(config.context),
            "parameters": count_trainable(config),
            **{name: last[name] for name in ("mean_iou", "pixel_accuracy", "iou")},
            "seconds": round(self.seconds, 1),
            "backend": last["backend"],
            "course": [[record["step"], record["mean_iou"]] for record in self.validations],
            "run": str(self.folder.root),
        }


def make_rows(out: Path, options: RunOptions, networks: list[str], contexts: list[str]) -> list[Row]:
    """Return a row for every network and context. Raises, before any training, for impossible runs."""
    fields = parse_assignments(options.settings)
    if "context" in fields:
        raise typer.BadParameter("--set context: --context chooses the rows")
    if options.val == "none":
        raise typer.BadParameter("--val none: an ablation compares networks by their validation")
    names = {network: network if network == Path(network).name else Path(network).stem for network in networks}
    if len(set(names.values())) < len(networks):
        raise typer.BadParameter("--network: two networks have the same name, which names the folder and the row")
    rows: list[Row] = []
    for network, name in names.items():
        for context in chosen_contexts(contexts):
            crop = ["crop={}x{}".format(*rows[0].plan.augmentation.crop)] if rows else []  # chosen and noted once
            settings = [*options.settings, *crop, f"context={','.join(context) or 'none'}"]
            if len(context) == 1 and "branch_classifiers" not in fields:
                settings.append(ONE_LOSS)
            plan, initial_state = make_plan(dataclasses.replace(options, network=network, settings=settings))
            rows.append(Row(name, plan, RunFolder(out / name / name_of(context)), initial_state))
    for row in rows:
        row.require_same_run()
    return rows


def train_rows(rows: list[Row], backend: BackendName) -> ExitCode:
    """Train the unfinished rows until all are done or a signal comes; after a run that diverges, train the next."""
    code = ExitCode.DONE
    for number, row in enumerate(rows, start=1):
        if row.is_finished:
            continue
        print_note()
        print_note(f"{number} of {len(rows)}: {row.title}")
        try:
            run = Run(row.plan, row.folder, row.read, backend, is_new=not row.has_begun)
            _, reason = drive(run, Loading())
        except DivergenceError as error:
            print_error(f"{row.title}: {error}")
            code = ExitCode.DISAGREE
            continue
        if reason is StopReason.INTERRUPTED:
            return ExitCode.INTERRUPTED
    return code

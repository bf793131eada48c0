"""The rows of an ablation: runs that are asked for alike but for their context modules, and what each has found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from danet_cli.console import CommandError
from danet_cli.contexts import chosen_contexts, name_of
from danet_cli.settings import parse_assignments
from danet_cli.train.plan import Asked, make_plan

if TYPE_CHECKING:
    from danet_common.training import RunFolder, RunPlan
    from danet_common.training.training_checkpoint import TrainingCheckpoint

# The authors train a network of one attention with one loss (issue 30 of their repository): the branch's own classifier
# would see the same features as the fused one.
ONE_LOSS = "branch_classifiers=false"


@dataclass(frozen=True)
class Row:
    """One run: what it is, where it lies, and what makes its state before the first step."""

    network: str
    plan: RunPlan
    folder: RunFolder
    draw: Callable[[], TrainingCheckpoint]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.network} {name_of(self.plan.config.context)}"

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on with."""
        return self.folder.plan.exists()

    @property
    def finished(self) -> bool:
        """Whether the network was judged after the last step."""
        return bool(self.validations) and self.validations[-1]["step"] == self.plan.recipe.steps

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The lines of the metrics file that judge the network."""
        return [record for record in self._records() if "mean_iou" in record]

    @property
    def seconds(self) -> float:
        """Of training at the pace that was logged: without what is compiled first, and without validation."""
        before, total = 0, 0.0
        for record in self._records():
            if "losses" in record:
                total += (record["step"] - before) * self.plan.recipe.batch_size / record["images_per_second"]
                before = record["step"]
        return total

    def _records(self) -> list[dict[str, Any]]:
        from danet_common.training.metrics_file import read_metrics

        return read_metrics(self.folder.metrics) if self.begun else []

    def read(self) -> tuple[RunPlan, TrainingCheckpoint]:
        """The run, and where it is."""
        if not self.begun:
            return self.plan, self.draw()
        self.refuse_another()
        return self.plan, self.folder.read_last(self.plan)

    def refuse_another(self) -> None:
        """Raise Unable, or RunError, where the folder holds something else than this run."""
        if not self.begun:
            self.folder.require_new()
            return
        there = self.folder.read_plan()
        fields = [field.name for field in dataclasses.fields(there) if field.name != "version"]
        differing = [name for name in fields if getattr(there, name) != getattr(self.plan, name)]
        if differing:
            raise CommandError(
                f"{self.folder.root} holds a run that differs in {', '.join(differing)}; "
                f"give this ablation a folder of its own with --out"
            )

    def to_dict(self) -> dict[str, Any]:
        """What was found, JSON-ready."""
        from danet_common.config.parameters import count_trainable

        config, last = self.plan.config, self.validations[-1]
        return {
            "network": self.network,
            "context": list(config.context),
            "parameters": count_trainable(config),
            "mean_iou": last["mean_iou"],
            "pixel_accuracy": last["pixel_accuracy"],
            "iou": last["iou"],
            "seconds": round(self.seconds, 1),
            "backend": last["backend"],
            "course": [[record["step"], record["mean_iou"]] for record in self.validations],
            "run": str(self.folder.root),
        }


def make_rows(out: Path, asked: Asked, networks: list[str], contexts: list[str]) -> list[Row]:
    """Every network with every context. Raises, before anything is trained, for what cannot be."""
    from danet_common.training import RunFolder

    given = parse_assignments(asked.settings)
    if "context" in given:
        raise typer.BadParameter("--set context: --context says which rows there are")
    if asked.val == "none":
        raise typer.BadParameter("--val none: networks are compared by what they are judged with")
    names = {network: network if network == Path(network).name else Path(network).stem for network in networks}
    if len(set(names.values())) < len(networks):
        raise typer.BadParameter("--network: each needs a name of its own, for its folder and the table")
    rows: list[Row] = []
    for network, name in names.items():
        for context in chosen_contexts(contexts):
            crop = ["crop={}x{}".format(*rows[0].plan.augmentation.crop)] if rows else []  # chosen, and said, once
            settings = [*asked.settings, *crop, f"context={','.join(context) or 'none'}"]
            if len(context) == 1 and "branch_classifiers" not in given:
                settings.append(ONE_LOSS)
            plan, draw = make_plan(dataclasses.replace(asked, network=network, settings=settings))
            rows.append(Row(name, plan, RunFolder(out / name / name_of(context)), draw))
    for row in rows:
        row.refuse_another()
    return rows

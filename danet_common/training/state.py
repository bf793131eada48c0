"""The loop's part of a training checkpoint: position in the data, best validation and losses since the last line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from danet_common.config.typed_json import from_json, require
from danet_common.data.loader import LoaderState
from danet_common.training.plan import RunPlan


@dataclass(frozen=True, kw_only=True)
class Best:
    """The validation of best.safetensors."""

    step: int
    mean_iou: float  # 0 to 1

    def __post_init__(self) -> None:
        require(self.step >= 1, "step", "at least 1", self.step)
        require(0 <= self.mean_iou <= 1, "mean_iou", "from 0 to 1", self.mean_iou)


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Raises ValueError, naming the field, where the fields contradict each other."""

    loader: LoaderState
    validation: str | None  # fingerprint of the validation data; None: there is no validation
    best: Best | None = None  # None: there was no validation yet
    validated: int = 0  # the step of the last validation
    losses: tuple[dict[str, float], ...] = ()  # of the steps since the last line of the metrics file, output -> loss

    def __post_init__(self) -> None:
        require(self.validated >= 0, "validated", "0 or more", self.validated)
        last = f"the last validation was at step {self.validated}"
        if self.best is not None and self.best.step > self.validated:
            raise ValueError(f"best.step is {self.best.step}; {last}")
        if self.best is None and self.validated:
            raise ValueError(f"best is missing; {last}")

    def check(self, plan: RunPlan, step: int) -> None:
        """Raise ValueError, naming the field, unless this is the state of this run after `step` steps."""
        expected_values = {
            "loader.step": (self.loader.step, step, "the run's step"),
            "loader.global_batch": (self.loader.global_batch, plan.recipe.batch_size, "the recipe's batch_size"),
            "loader.seed": (self.loader.seed, plan.recipe.seed, "the recipe's seed"),
            "loader.shuffle": (self.loader.shuffle, True, "a run's"),
            "loader.drop_remainder": (self.loader.drop_remainder, False, "a run's"),
            "loader.augmentation": (self.loader.augmentation, plan.augmentation, "the run's augmentation"),
        }
        for name, (value, expected, title) in expected_values.items():
            if value != expected:
                difference = f"{value}; {title} is {expected}" if isinstance(value, int) else f"not {title}"
                raise ValueError(f"{name} is {difference}")
        if self.validated > step:
            raise ValueError(f"validated is {self.validated}; the run's step is {step}")
        if (self.validation is None) != (plan.val is None):
            actual = "null" if self.validation is None else "there"
            raise ValueError(f"validation is {actual}; the run's val says otherwise")
        if len(self.losses) > min(step, plan.intervals.log - 1):
            lines = f"the run's step is {step}, with a line each {plan.intervals.log}"
            raise ValueError(f"losses are of {len(self.losses)} steps; {lines}")
        names = {"loss", *plan.config.outputs}
        for index, losses in enumerate(self.losses):
            if losses.keys() != names:
                raise ValueError(f"losses[{index}] must have {', '.join(sorted(names))}")
            for name, value in losses.items():
                require(value >= 0, f"losses[{index}].{name}", "0 or more", value)

    def to_dict(self) -> dict[str, Any]:
        """Return the state, JSON-ready."""
        return dataclasses.asdict(self)


def read_state(data: Any, plan: RunPlan, step: int, place: str = "") -> RunState:
    """Return the state in a training checkpoint's `data`. Raises ValueError of one line, naming the field."""
    state = from_json(RunState, data, place)
    try:
        state.check(plan, step)
    except ValueError as error:
        raise ValueError(f"{place}.{error}" if place else str(error)) from None
    return state

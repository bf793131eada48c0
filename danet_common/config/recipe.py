"""The training recipe. A recipe, a network and a batch give the same step in each of the three frameworks.

A step is an update of the weights from a global batch; steps are numbered from 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from danet_common.config import ContextKind
from danet_common.config.former_arguments import FORMER_FIELDS, raise_if_renamed
from danet_common.config.typed_json import LARGEST_WHOLE, from_json, require
from danet_common.numerics.initialisation import Scheme

TrainDType = Literal["float32", "float64", "mixed_bfloat16"]
OptimizerName = Literal["sgd", "adamw"]
LossMean = Literal["labelled_pixels", "all_pixels"]
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(OptimizerName),
    "initialisation": get_args(Scheme),
    "loss_mean": get_args(LossMean),
}
POSITIVE = ("steps", "batch_size", "gradient_accumulation_steps", "ohem_min_kept")
NOT_NEGATIVE = (
    *("learning_rate", "head_lr_multiplier", "min_learning_rate", "poly_power", "warmup_steps", "weight_decay"),
    *("fused_weight", "position_weight", "channel_weight", "context_weight", "aux_weight"),
)
MOST = 2**31 - 1  # JAX counts steps and images in 32 bits
LARGEST_FACTOR = 1e9  # of rates and weights: float32 holds the product of any four
SHARES = ("momentum", "adam_beta1", "adam_beta2")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training recipe. Raises ValueError, naming the field, for an invalid value."""

    steps: int = 40_000  # where the learning rate reaches its minimum
    batch_size: int = 8  # images of a step, on all devices and in all microbatches together
    gradient_accumulation_steps: int = 1  # microbatches of a batch; their gradients are averaged
    seed: int = 0  # of initial weights, dropout and the order and augmentation of the data
    initialisation: Scheme = "pytorch"  # of the head: see initialisation.py; the authors' is PyTorch's default
    dtype: TrainDType = "float32"  # mixed_bfloat16: float32 weights, computation in bfloat16
    # Activation checkpointing of blocks and attention: the same numbers in about half the memory; a step takes up to
    # 20% longer. None: if a device has many pixels.
    remat: bool | None = None

    # Optimizer.
    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.003  # the authors', with three losses; they took 0.01 with one
    head_lr_multiplier: float = 10.0  # factor on the learning rate of everything but the backbone (the authors' 10)
    momentum: float = 0.9  # sgd: velocity = momentum * velocity + gradient, as torch's
    weight_decay: float = 1e-4  # sgd: added to the gradient (coupled), as torch's; adamw: decoupled
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    clip_norm: float | None = None  # largest norm of all gradients together
    ema_decay: float | None = None  # of the exponential moving average of the weights; None: there is none

    # Schedule.
    poly_power: float = 0.9  # of the polynomial
    min_learning_rate: float = 0.0  # mmseg ends at 1e-4
    warmup_steps: int = 0  # of linear growth from 0

    # Loss.
    fused_weight: float = 1.0
    position_weight: float = 1.0  # Tramac 0.4
    channel_weight: float = 1.0  # Tramac 0.4
    context_weight: float = 1.0  # of the branch of any other context module
    aux_weight: float = 0.4
    ignore_index: int = 255
    loss_mean: LossMean = "labelled_pixels"  # mmseg divides the sum by all pixels
    class_weights: tuple[float, ...] | None = None
    ohem_threshold: float | None = None  # only pixels whose class is less probable; None: all
    ohem_min_kept: int = 100_000  # pixels per image of the batch, the hardest ones, at least
    frozen_batch_norm: bool = False  # normalise by the running statistics and leave them; scale and shift learn

    def __new__(cls, **fields: Any) -> Self:
        raise_if_renamed(fields, FORMER_FIELDS)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        def check(names: Iterable[str], condition: str, holds: Callable[[Any], bool]) -> None:
            for name in names:
                require(holds(getattr(self, name)), name, condition, getattr(self, name))

        for name, choices in CHOICES.items():
            check([name], f"one of {', '.join(choices)}", choices.__contains__)
        types = get_args(TrainDType)
        check(["dtype"], f"one of {', '.join(types)}: 16-bit weights lose small updates", types.__contains__)
        check(POSITIVE, f"at least 1, at most {MOST}", lambda value: 1 <= value <= MOST)
        check(["seed"], "a whole number of 64 bits", lambda value: abs(value) <= LARGEST_WHOLE)
        check(["ignore_index"], "a whole number of 32 bits", lambda value: abs(value) <= MOST)
        check(NOT_NEGATIVE, f"0 or more, at most {LARGEST_FACTOR:g}", lambda value: 0 <= value <= LARGEST_FACTOR)
        check(SHARES, "in [0, 1)", lambda value: 0 <= value < 1)
        largest = f"positive, at most {LARGEST_FACTOR:g}"
        check(["adam_epsilon"], largest, lambda value: 0 < value <= LARGEST_FACTOR)
        check(["clip_norm"], f"None or {largest}", lambda value: value is None or 0 < value <= LARGEST_FACTOR)
        check(["ema_decay"], "None or in [0, 1)", lambda value: value is None or 0 <= value < 1)
        check(["ohem_threshold"], "None or in (0, 1]", lambda value: value is None or 0 < value <= 1)
        check(
            ["class_weights"],
            f"None, or 0 or more each, at most {LARGEST_FACTOR:g}, and one above 0",
            lambda value: value is None or (any(value) and all(0 <= weight <= LARGEST_FACTOR for weight in value)),
        )
        steps = self.gradient_accumulation_steps
        multiple = f"a multiple of gradient_accumulation_steps, {steps}"
        check(["batch_size"], multiple, lambda value: value % steps == 0)

    @property
    def output_weights(self) -> dict[str, float]:
        """Weight of each output in the loss."""
        own = {"fused": self.fused_weight, "position": self.position_weight, "channel": self.channel_weight}
        return {**dict.fromkeys(get_args(ContextKind), self.context_weight), **own, "aux": self.aux_weight}

    def replace(self, **changes: Any) -> TrainConfig:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, JSON-ready."""
        fields = dataclasses.asdict(self)
        return fields | {"class_weights": None if self.class_weights is None else list(self.class_weights)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TrainConfig:
        """Return the recipe of `to_dict`'s fields; absent fields take their defaults, unknown ones raise ValueError."""
        return from_json(cls, fields)

    @staticmethod
    def from_old_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of any version by their present names."""
        return {FORMER_FIELDS.get(name, name): value for name, value in fields.items()}


def learning_rate(recipe: TrainConfig, step: int) -> float:
    """Return the backbone's rate in a step: polynomial decay to the minimum, after a linear warm-up.

    rate = (learning_rate - min_learning_rate) * (1 - step / steps) ** power + min_learning_rate,
    times (step + 1) / warmup_steps while that is below 1.
    """
    left = max(0.0, 1 - step / recipe.steps)
    rate = (recipe.learning_rate - recipe.min_learning_rate) * left**recipe.poly_power + recipe.min_learning_rate
    return rate * min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else rate


def rate_factor(recipe: TrainConfig, name: str) -> float:
    """Return the factor on the learning rate of the tensor with this canonical name."""
    return 1.0 if name.startswith("backbone.") else recipe.head_lr_multiplier

"""How a network is trained: one frozen value that says everything about a step but its data.

A recipe, a network and a batch give the same step in each of the three frameworks. A step is one update of the
weights, from one global batch; steps are numbered from 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from danet_common.config import ContextKind
from danet_common.config.former_arguments import FORMER_FIELDS, no_attribute, raise_if_renamed
from danet_common.config.typed_json import LARGEST_WHOLE, from_json
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
    "learning_rate",
    "head_lr_multiplier",
    "min_learning_rate",
    "poly_power",
    "warmup_steps",
    "weight_decay",
)
NOT_NEGATIVE_WEIGHTS = ("fused_weight", "position_weight", "channel_weight", "context_weight", "aux_weight")
MOST = 2**31 - 1  # JAX counts steps and pictures in 32 bits
LARGEST_FACTOR = 1e9  # of rates and weights: float32 holds the product of any four
SHARES = ("momentum", "adam_beta1", "adam_beta2")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One recipe. Raises ValueError, naming the field, where a value trains nothing."""

    steps: int = 40_000  # where the learning rate reaches its minimum
    batch_size: int = 8  # pictures of one step, on all devices and in all parts together
    gradient_accumulation_steps: int = 1  # equal parts that a batch is computed in; their gradients are averaged
    seed: int = 0  # of initial weights, dropout and the order and augmentation of the data
    initialisation: Scheme = "pytorch"  # of the head: see initialisation.py; the authors' is PyTorch's default
    dtype: TrainDType = "float32"  # mixed_bfloat16 computes in bfloat16 what float32 weights learn from
    remat: bool | None = None  # activations of blocks and attention, for the gradient, instead of keeping them: no
    # number changes, about half the memory, a step takes up to a fifth longer; None: where a device has many pixels

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
    warmup_steps: int = 0  # over which the rate grows in equal parts

    # Loss.
    fused_weight: float = 1.0
    position_weight: float = 1.0  # Tramac 0.4
    channel_weight: float = 1.0  # Tramac 0.4
    context_weight: float = 1.0  # of the branch of any other context module
    aux_weight: float = 0.4
    ignore_index: int = 255
    loss_mean: LossMean = "labelled_pixels"  # what the sum is divided by; mmseg divides by all
    class_weights: tuple[float, ...] | None = None
    ohem_threshold: float | None = None  # learn from pixels whose class is less probable than this; None: from all
    ohem_min_kept: int = 100_000  # and from this many of the hardest for each picture of the batch
    frozen_batch_norm: bool = False  # normalise by the running statistics and leave them; scale and shift learn

    def __new__(cls, **fields: Any) -> Self:
        raise_if_renamed(fields, FORMER_FIELDS)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")
        if self.dtype not in get_args(TrainDType):
            known = ", ".join(get_args(TrainDType))
            raise ValueError(f"dtype must be one of {known}: 16-bit weights lose small updates; got {self.dtype!r}")
        self._require(POSITIVE, f"at least 1, at most {MOST}", lambda value: 1 <= value <= MOST)
        self._require(("seed",), "a whole number of 64 bits", lambda value: abs(value) <= LARGEST_WHOLE)
        self._require(("ignore_index",), "a whole number of 32 bits", lambda value: abs(value) <= MOST)
        factors = (*NOT_NEGATIVE, *NOT_NEGATIVE_WEIGHTS)
        self._require(factors, f"0 or more, at most {LARGEST_FACTOR:g}", lambda value: 0 <= value <= LARGEST_FACTOR)
        self._require(SHARES, "in [0, 1)", lambda value: 0 <= value < 1)
        largest = f"positive, at most {LARGEST_FACTOR:g}"
        self._require(("adam_epsilon",), largest, lambda value: 0 < value <= LARGEST_FACTOR)
        self._require(("clip_norm",), f"None or {largest}", lambda value: value is None or 0 < value <= LARGEST_FACTOR)
        self._require(("ema_decay",), "None or in [0, 1)", lambda value: value is None or 0 <= value < 1)
        self._require(("ohem_threshold",), "None or in (0, 1]", lambda value: value is None or 0 < value <= 1)
        self._require(
            ("class_weights",),
            f"None, or 0 or more each, at most {LARGEST_FACTOR:g}, and one above 0",
            lambda value: value is None or (any(value) and all(0 <= weight <= LARGEST_FACTOR for weight in value)),
        )
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"batch_size must be a multiple of gradient_accumulation_steps, {self.gradient_accumulation_steps}; "
                f"got {self.batch_size}"
            )

    def _require(self, names: tuple[str, ...], wanted: str, holds: Any) -> None:
        for name in names:
            if not holds(getattr(self, name)):
                raise ValueError(f"{name} must be {wanted}; got {getattr(self, name)!r}")

    @property
    def output_weights(self) -> dict[str, float]:
        """Output's name -> its weight in the loss."""
        own = {"fused": self.fused_weight, "position": self.position_weight, "channel": self.channel_weight}
        return {**dict.fromkeys(get_args(ContextKind), self.context_weight), **own, "aux": self.aux_weight}

    def replace(self, **changes: Any) -> TrainConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: every field."""
        fields = dataclasses.asdict(self)
        return fields | {"class_weights": None if self.class_weights is None else list(self.class_weights)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TrainConfig:
        """The inverse of `to_dict`; absent fields take their defaults, unknown ones raise ValueError."""
        return from_json(cls, fields)

    @staticmethod
    def from_old_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of any version by their present names."""
        return {FORMER_FIELDS.get(name, name): value for name, value in fields.items()}


def learning_rate(recipe: TrainConfig, step: int) -> float:
    """Of the backbone in one step: polynomial decay from the rate to its minimum, after a linear warm-up.

    rate = (learning_rate - min_learning_rate) * (1 - step / steps) ** power + min_learning_rate,
    times (step + 1) / warmup_steps while that is below 1.
    """
    left = max(0.0, 1 - step / recipe.steps)
    rate = (recipe.learning_rate - recipe.min_learning_rate) * left**recipe.poly_power + recipe.min_learning_rate
    return rate * min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else rate


def rate_factor(recipe: TrainConfig, name: str) -> float:
    """What the learning rate of the tensor with this canonical name is multiplied by."""
    return 1.0 if name.startswith("backbone.") else recipe.head_lr_multiplier


def __getattr__(name: str) -> Any:
    """Raise AttributeError, with the new name of what has been renamed."""
    raise no_attribute(
        __name__,
        name,
        dict.fromkeys(("RECIPES", "AUGMENTATIONS", "get_recipe"), "it is in danet_common.config.recipes"),
    )

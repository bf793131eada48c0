"""How a module computes: one value handed to every module at construction."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from danet_common.config import DANetConfig

DType = Literal["float32", "float64", "bfloat16", "float16", "mixed_bfloat16"]


class Numerics(NamedTuple):
    """`dtype` of convolutions and activations; BatchNorm's epsilon, and its momentum in torch's sense.

    `mixed` keeps the kernels in float32, and rounds them to `dtype` each time they are used: in training a small
    update must not be rounded away. `folded` networks have no BatchNorm, and a bias in each convolution: those of
    `folding.FoldedTensors`. `winograd` ones, folded too, compute large 3x3 convolutions as `winograd` says.
    """

    dtype: str = "float32"
    epsilon: float = 1e-5
    momentum: float = 0.1
    mixed: bool = False
    folded: bool = False
    winograd: bool = False

    @property
    def kernels(self) -> str:
        """The dtype in which convolutions keep their weights."""
        return "float32" if self.mixed else self.dtype

    @property
    def policy(self) -> str:
        """What `numerics` made this of, and what Keras calls the two dtypes together."""
        return f"mixed_{self.dtype}" if self.mixed else self.dtype

    @property
    def wide(self) -> str:
        """At least float32: BatchNorm, softmax, channel energies, gammas and the upsampling."""
        return widened(self.dtype)


def widened(dtype: str) -> str:
    """`float64` for float64, else `float32`. Channel energies are sums over H*W that float16 cannot hold."""
    return "float64" if dtype == "float64" else "float32"


def numerics(config: DANetConfig, dtype: str, folded: bool = False, winograd: bool = False) -> Numerics:
    """What a network of this config computes with. Raises ValueError for a dtype that is none of `DType`, or too narrow
    for `winograd`."""
    if dtype not in get_args(DType):
        raise ValueError(f"dtype must be one of {', '.join(get_args(DType))}; got {dtype!r}")
    computed = dtype.removeprefix("mixed_")
    mixed = computed != dtype
    if winograd and dtype not in ("float32", "float64"):
        raise ValueError(f"winograd needs float32 or float64, as its transforms cancel large terms; got {dtype}")
    epsilon, momentum = config.batch_norm_epsilon, config.batch_norm_momentum
    return Numerics(computed, epsilon, momentum, mixed=mixed, folded=folded or winograd, winograd=winograd)

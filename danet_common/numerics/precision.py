"""The dtypes that a network keeps its weights in, computes in and adds up in."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

DType = Literal["float32", "float64", "bfloat16", "float16", "mixed_bfloat16"]


class Precision(NamedTuple):
    """The dtypes of one network.

    param_dtype    of convolution kernels and biases
    compute_dtype  of activations; kernels are cast to it each time they are used

    They differ in mixed precision: training in bfloat16 rounds a small update of a bfloat16 weight away.
    """

    param_dtype: str = "float32"
    compute_dtype: str = "float32"

    @property
    def accumulate_dtype(self) -> str:
        """At least float32: BatchNorm, softmax, attention energies, gammas and the upsampling."""
        return accumulate_dtype(self.compute_dtype)

    @property
    def name(self) -> str:
        """The name that `get_precision` made this of, which is also Keras's name for the two dtypes together."""
        mixed = self.param_dtype != self.compute_dtype
        return f"mixed_{self.compute_dtype}" if mixed else self.compute_dtype


FLOAT32 = Precision()


def accumulate_dtype(dtype: str) -> str:
    """Return `float64` for float64, else `float32`. Channel energies are sums over H*W that float16 cannot hold."""
    return "float64" if dtype == "float64" else "float32"


def get_precision(dtype: str) -> Precision:
    """Return the dtypes that one name stands for. Raises ValueError for a name that is none of `DType`."""
    if dtype not in get_args(DType):
        raise ValueError(f"dtype must be one of {', '.join(get_args(DType))}; got {dtype!r}")
    compute = dtype.removeprefix("mixed_")
    return Precision("float32" if compute != dtype else dtype, compute)

"""Dtypes of a network's weights, computation and sums."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

DType = Literal["float32", "float64", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16"]


class Precision(NamedTuple):
    """Dtypes of a network.

    param_dtype    of convolution kernels and biases
    compute_dtype  of activations; kernels are cast to it each time they are used

    They differ in mixed precision, because a small update of a bfloat16 weight would round to 0.
    """

    param_dtype: str = "float32"
    compute_dtype: str = "float32"

    @property
    def accumulate_dtype(self) -> str:
        """Dtype of BatchNorm, softmax, attention energies, gammas and upsampling: at least float32."""
        return accumulate_dtype(self.compute_dtype)

    @property
    def name(self) -> str:
        """Name for `get_precision`, which is also Keras's for the two dtypes."""
        mixed = self.param_dtype != self.compute_dtype
        return f"mixed_{self.compute_dtype}" if mixed else self.compute_dtype


FLOAT32 = Precision()


def accumulate_dtype(dtype: str) -> str:
    """Return `float64` for float64, else `float32`. Channel energies are sums over H*W that float16 cannot hold."""
    return "float64" if dtype == "float64" else "float32"


def get_precision(dtype: Any) -> Precision:
    """Return the dtypes of a name, of a dtype of NumPy or of a framework, or of a dtype policy of Keras.

    Raises ValueError for an unknown one.
    """
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    if name not in get_args(DType):
        raise ValueError(f"dtype must be one of {', '.join(get_args(DType))}; got {dtype!r}")
    compute = name.removeprefix("mixed_")
    return Precision("float32" if compute != name else name, compute)


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of NumPy, TensorFlow, JAX or PyTorch, or of a dtype policy of Keras."""
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    return str(name or dtype).removeprefix("torch.")

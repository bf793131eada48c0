"""Rebuild NumPy values of a pickle without NumPy's own pickle functions.

Only plain numbers get values. Texts, objects and records stay inert: trainers store some beside the weights.
Sources: numpy/_core/multiarray.py and `ndarray.__reduce__`, NumPy 1.x and 2.x.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from weights_convert.containers.pickle_reader import Constructor, Global, Opaque

PLAIN = "?efd" + np.typecodes["AllInteger"]  # `numpy.dtype.char` of plain numbers
PLAIN_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")


class PickledDtype:
    """Stand-in for `numpy.dtype(text, align, copy)`; its state has the byte order."""

    def __init__(self, text: Any = None, *_: Any) -> None:
        name = text.name.rpartition(".")[2] if isinstance(text, Global) else text
        self.text = name if type(name) is str else ""
        self.big = False

    def set_state(self, state: Any) -> None:
        """Set the byte order. `state` is (version, byte order, subdtype, names, fields, size, alignment, flags)."""
        self.big = type(state) is tuple and state[1:2] == (">",)

    def resolve(self) -> np.dtype[Any] | None:
        """Return the dtype; None if it is not a plain number."""
        if not PLAIN_DTYPE.fullmatch(self.text):
            return None
        dtype = np.dtype(self.text)
        return dtype.newbyteorder(">") if self.big else dtype


class PickledArray:
    """Stand-in for `numpy.ndarray`; `array` is None before its state is set, and if it is not of plain numbers."""

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        """Set the array. `state` is (version, shape, dtype, is Fortran-ordered, bytes)."""
        shape, dtype, fortran, data = state[-4:]
        self.array = array_from_buffer(data, dtype, shape, "F" if fortran else "C").array


def array_from_buffer(data: Any, dtype: Any, shape: Any, order: str = "C") -> PickledArray:
    """Return an array over the file's bytes. Raise ValueError unless their number matches the shape exactly."""
    if not isinstance(dtype, PickledDtype):
        raise ValueError("an array has no dtype")
    result = PickledArray()
    plain = dtype.resolve()
    if plain is not None:
        flat = np.frombuffer(data.encode("latin-1") if type(data) is str else data, plain)  # a text of Python 2
        result.array = native(flat.reshape(tuple(shape), order="F" if order == "F" else "C"))
    return result


def scalar(dtype: Any, data: Any = b"") -> Any:
    """Return `numpy.float64(...)` and other scalars as a Python number; inert if not a plain number."""
    array = array_from_buffer(data, dtype, ()).array
    return Opaque("numpy.generic") if array is None else array.item()


def jax_array(function: Any, arguments: Any, state: Any, *_: Any) -> PickledArray:
    """Stand-in for `jax._src.array._reconstruct_array`, which has the parts of a NumPy array."""
    result = PickledArray()
    result.set_state(state)
    return result


def encode(text: Any, encoding: Any = "latin1") -> bytes | str:
    """Stand-in for `_codecs.encode`, with which protocol 2 writes bytes."""
    return text.encode("latin-1") if type(text) is str and encoding in ("latin1", "latin-1") else b""


def is_plain(array: np.ndarray) -> bool:
    """True if the dtype is NumPy's own. bfloat16 and float8 come from ml_dtypes and have no name in a file."""
    return array.dtype.char in PLAIN


def native(array: np.ndarray) -> np.ndarray:
    """Return the array in native byte order; the same array if it is native."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


CONSTRUCTORS: Mapping[str, Constructor] = {
    "_codecs.encode": encode,
    "jax._src.array._reconstruct_array": jax_array,
    "numpy.dtype": PickledDtype,
    **{
        f"numpy.{core}.{name}": constructor
        for core in ("core", "_core")
        for name, constructor in (
            ("multiarray.scalar", scalar),
            ("multiarray._reconstruct", PickledArray),
            ("numeric._frombuffer", array_from_buffer),
        )
    },
}

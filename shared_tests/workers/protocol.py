"""The request that a backend computes and its response: the whole interface of a framework's process.

Everything is in canonical form: arrays are N,C,H,W and tensors carry canonical names, whatever the
framework's own layout. An adapter turns a Request into a Response; see docs/judging.md for writing one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

GROUPS = ("outputs", "taps", "statistics", "gradients")
Groups = dict[str, dict[str, np.ndarray]]  # named arrays in named groups


@dataclass(frozen=True, kw_only=True)
class Request:
    """One pass through one network.

    checkpoint  a canonical `.safetensors` file
    x           (N, C, H, W), already normalised
    dtype       float32, float64, bfloat16 or float16
    mode        how the framework runs it: torch eager | compile; tf eager | function | xla; jax eager | jit
    device      "cpu", or "accelerator": the GPU or TPU where the framework sees one, else the CPU
    precision   of float32 products there: "highest" (no TF32, no bfloat16 passes) or "fast" (TF32 allowed)
    layers      how the network computes: a name of danet_common.config.layer_names
    training    batch statistics, and the running ones updated, instead of inference
    asked       the outputs to compute; None: all
    taps        named intermediate values to return
    cotangents  output name -> array like that output: asks for the gradients of sum(output * cotangent)
    """

    checkpoint: str
    x: np.ndarray
    dtype: str = "float32"
    mode: str = "eager"
    device: Literal["cpu", "accelerator"] = "cpu"
    precision: Literal["highest", "fast"] = "highest"
    layers: str = "memory_efficient"
    training: bool = False
    asked: tuple[str, ...] | None = None
    taps: tuple[str, ...] = ()
    cotangents: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass
class Response:
    """Arrays by name; `statistics` only in training, `gradients` only where cotangents were given.

    flags  the framework's version and what it really ran under, read back from the framework: `device`
           ("cpu", "gpu", "tpu") and `precision` ("highest", "fast") are what a profile is held to
    """

    outputs: dict[str, np.ndarray]
    taps: dict[str, np.ndarray] = field(default_factory=dict)
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)


class Adapter(Protocol):
    """A module or object whose `run` computes a request."""

    def run(self, request: Request) -> Response: ...


def save_arrays(path: str | os.PathLike[str], groups: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write groups of named arrays as one `.npz`; no array is pickled."""
    flat = {f"{group}/{name}": array for group, arrays in groups.items() for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in flat.values()):
        raise ValueError("an array of Python objects cannot be sent")  # NumPy would pickle it
    np.savez(path, **flat)  # type: ignore[arg-type]  # names are never allow_pickle


def load_arrays(path: str | os.PathLike[str]) -> Groups:
    """The inverse of `save_arrays`."""
    groups: Groups = {}
    with np.load(Path(path), allow_pickle=False) as file:
        for entry in file.files:
            group, _, name = entry.partition("/")
            groups.setdefault(group, {})[name] = file[entry]
    return groups

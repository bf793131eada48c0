"""Mistakes that only the head can make: in the two attentions and in the upsampling.

Each function returns a sentence, or None where none of its mistakes gives the actual array.
"""

from __future__ import annotations

import math

import numpy as np

from shared_tests.parity.diagnosis.mismatch import Array, Mismatch
from shared_tests.parity.distance import relative_error
from shared_tests.reference.operations import resize, softmax

GRIDS = ("corners", "half_pixel", "asymmetric")


def upsampling(mismatch: Mismatch) -> str | None:
    """Logits that agree before upsampling and not after."""
    before = mismatch.taps(f"{mismatch.name}_logits")
    if before is None:
        return None
    logits, size = before[0], mismatch.expected.shape[2:]
    resized = {grid: resize(logits, size[0], size[1], grid) for grid in GRIDS}
    right = [grid for grid in GRIDS if relative_error(mismatch.expected, resized[grid]) < 1e-6]
    for grid in GRIDS:
        if grid not in right and mismatch.explains(resized[grid]):
            return f"upsampling grid: actual {grid}, expected {' or '.join(right) or 'another'}"
    rows, columns = (np.arange(out) * low // out for out, low in zip(size, logits.shape[2:], strict=True))
    if mismatch.explains(logits[:, :, rows][..., columns]):
        return "upsampling: it takes the nearest pixel, not the bilinear mean"
    return "upsampling: the logits agree before it and not after, and none of the three grids gives the actual result"


def position_map(mismatch: Mismatch) -> str | None:
    """softmax(query . key) made otherwise."""
    before = mismatch.taps("position_query", "position_key") if mismatch.name == "position_map" else None
    if before is None:
        return None
    query, key = (array.reshape(*array.shape[:2], -1) for array in before)
    energy = query.transpose(0, 2, 1) @ key
    mistakes = {
        "query and key are swapped in the energy": softmax(_turned(energy)),
        "the softmax runs over the queries, not over the keys": _turned(softmax(_turned(energy))),
        "the energy is scaled by 1/sqrt(query channels); DANet's is not": softmax(energy / math.sqrt(query.shape[1])),
        "the softmax's sign is flipped": softmax(-energy),
    }
    return mismatch.first_that_explains(mistakes)


def channel_map(mismatch: Mismatch) -> str | None:
    """softmax(max - energy) made otherwise."""
    before = mismatch.taps("channel_in") if mismatch.name == "channel_map" else None
    if before is None:
        return None
    energy, pixels, channels = channel_energy(before[0]), math.prod(before[0].shape[2:]), before[0].shape[1]
    mistakes = {
        "the softmax's sign: softmax(energy), the paper's formula; released is softmax(max - energy)": softmax(energy),
        "the energy is averaged over the pixels; DANet's is their sum": softmax(-energy / pixels),
        "the energy is scaled by 1/sqrt(pixels); DANet's is not": softmax(-energy / math.sqrt(pixels)),
        "the energy is scaled by 1/sqrt(channels); DANet's is not": softmax(-energy / math.sqrt(channels)),
    }
    return mismatch.first_that_explains(mistakes)


def channel_energy(x: Array) -> Array:
    """x_c . x_d of (N, C, H, W), as (N, C, C)."""
    flat = x.reshape(*x.shape[:2], -1)
    return flat @ _turned(flat)


def attention(mismatch: Mismatch) -> str | None:
    """gamma * attention + x made otherwise, the attention itself being right."""
    names = {
        "position_attention": ("position_in", "position_map", "position_value"),
        "channel_attention": ("channel_in", "channel_map", "channel_in"),
    }
    before = mismatch.taps(*names[mismatch.name]) if mismatch.name in names else None
    if before is None:
        return None
    x, weights, source = (array.reshape(*array.shape[:2], -1) for array in before)
    if mismatch.name == "position_attention":
        gathered, turned = source @ _turned(weights), source @ weights
    else:
        gathered, turned = weights @ source, _turned(weights) @ source
    expected, actual = mismatch.expected.reshape(x.shape), mismatch.actual.reshape(x.shape)
    gamma, actual_gamma = _slope(gathered, expected - x), _slope(gathered, actual - x)
    mistakes = {
        f"gamma: actual {actual_gamma:.6g}, expected {gamma:.6g}": actual_gamma * gathered + x,
        "x is not added to the attention": gamma * gathered,
        "the map is applied transposed": gamma * turned + x,
    }
    if mismatch.name == "position_attention":
        mistakes["the map is applied to x, not to the values"] = gamma * (x @ _turned(weights)) + x
    return mismatch.first_that_explains({text: out.reshape(mismatch.expected.shape) for text, out in mistakes.items()})


def _turned(matrices: Array) -> Array:
    return matrices.transpose(0, 2, 1)


def _slope(x: Array, y: Array) -> float:
    """The factor g for which g x is nearest to y."""
    square = float(np.vdot(x, x))
    return float(np.vdot(x, y)) / square if square else 0.0

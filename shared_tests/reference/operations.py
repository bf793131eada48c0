"""The operations of the network in float64 NumPy, each from its definition. Maps are (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pad(x: Array, amount: int, value: float) -> Array:
    """Surround every map with `amount` rows and columns of `value`."""
    return np.pad(x, ((0, 0), (0, 0), (amount, amount), (amount, amount)), constant_values=value)


def convolve(
    x: Array, weight: Array, bias: Array | None = None, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Array:
    """Cross-correlation.

        out[o, y, x] = sum over c, i, j of weight[o, c, i, j] * in[c, y*s + i*d, x*s + j*d]

    x (N, C, H, W) and weight (O, C, k, l) -> (N, O, H', W').

        H' = (H + 2p - d(k-1) - 1) // s + 1.
    """
    outputs, channels, height, width = weight.shape
    padded = pad(x, padding, 0)
    span = (dilation * (height - 1) + 1, dilation * (width - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(2, 3))
    taps = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]  # (N, C, H', W', k, l)
    rows, columns = taps.shape[2:4]
    # One matrix product per image keeps the copy of the taps small and leaves the sums to BLAS.
    matrix = weight.reshape(outputs, -1)
    maps = [matrix @ image.transpose(0, 3, 4, 1, 2).reshape(channels * height * width, -1) for image in taps]
    out = np.stack(maps).reshape(len(x), outputs, rows, columns)
    return out if bias is None else out + bias[:, None, None]


def relu(x: Array) -> Array:
    """The positive part; NaN stays NaN."""
    return np.maximum(x, 0)


def max_pool(x: Array) -> Array:
    """Largest of each 3x3 window, stride 2, padding 1; the padding never wins."""
    padded = pad(x, 1, -np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows[:, :, ::2, ::2].max(axis=(4, 5))


def average_pool(x: Array) -> Array:
    """Mean of each 2x2 window, stride 2; on odd sizes the last window holds only the pixels that are there."""
    height, width = x.shape[2:]
    return np.stack(
        [
            np.stack([x[:, :, i : i + 2, j : j + 2].mean(axis=(2, 3)) for j in range(0, width, 2)], axis=-1)
            for i in range(0, height, 2)
        ],
        axis=2,
    )


def average_pool_same(x: Array) -> Array:
    """Mean of each 2x2 window, stride 1; a row of zeros below and a column to the right keep the size, and count."""
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))
    return (padded[..., :-1, :-1] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., 1:, 1:]) / 4


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), of a form that does not overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def softmax(x: Array) -> Array:
    """exp(x) / sum of exp(x) over the last axis."""
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


def normalise(x: Array, mean: Array, variance: Array, scale: Array, shift: Array, epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, per channel."""
    mean, variance, scale, shift = (v[:, None, None] for v in (mean, variance, scale, shift))
    return (x - mean) / np.sqrt(variance + epsilon) * scale + shift


def moments(x: Array) -> tuple[Array, Array, int]:
    """Mean and biased variance of each channel, in two passes, and the number of samples of each."""
    mean = x.mean(axis=(0, 2, 3))
    variance = np.square(x - mean[:, None, None]).mean(axis=(0, 2, 3))
    return mean, variance, x.size // x.shape[1]


def resize(x: Array, height: int, width: int, grid: str) -> Array:
    """Bilinear interpolation of (N, C, h, w) at the points that `grid` gives each output pixel."""
    low, high, share = neighbours(x.shape[2], height, grid)
    x = x[:, :, low] * (1 - share)[:, None] + x[:, :, high] * share[:, None]
    low, high, share = neighbours(x.shape[3], width, grid)
    return x[..., low] * (1 - share) + x[..., high] * share


def neighbours(size: int, target: int, grid: str) -> tuple[NDArray[Any], NDArray[Any], Array]:
    """Return two neighbours among `size` inputs for each of `target` outputs, and the weight of the second.

    The source point is a fraction of integers, so floor and remainder are exact:
    corners i (size-1) / (target-1); half_pixel max(0, (i + 1/2) size / target - 1/2); asymmetric i size / target.
    """
    i = np.arange(target)
    if grid == "corners":
        numerator, denominator = i * (size - 1), max(target - 1, 1)
    elif grid == "half_pixel":
        numerator, denominator = np.maximum((2 * i + 1) * size - target, 0), 2 * target
    elif grid == "asymmetric":
        numerator, denominator = i * size, target
    else:
        raise ValueError(f"grid must be corners, half_pixel or asymmetric; got {grid!r}")
    low = numerator // denominator
    return low, np.minimum(low + 1, size - 1), (numerator % denominator) / denominator

"""The published procedures once more, from their sources, in plain loops: what `danet_common.evaluation` is held to.

Each function follows its source's own order and terms and shares nothing with the code under test. Images are
(H, W, 3) uint8, scores (H, W, K) float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Network = Callable[[Array], Array]  # one normalised picture (H, W, 3) -> logits (H, W, K)

MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def normalised(image: NDArray[np.uint8] | Array) -> Array:
    """Pixels of 0..255 as the network takes them."""
    return (image / 255 - MEAN) / STD


def interpolated(x: Array, height: int, width: int, align_corners: bool) -> Array:
    """Bilinear, one output pixel after another, as torch's F.interpolate defines it."""
    out = np.zeros((height, width, x.shape[2]))
    for i in range(height):
        for j in range(width):
            y, t = position(i, x.shape[0], height, align_corners)
            z, u = position(j, x.shape[1], width, align_corners)
            below, right = min(y + 1, x.shape[0] - 1), min(z + 1, x.shape[1] - 1)
            top = (1 - u) * x[y, z] + u * x[y, right]
            bottom = (1 - u) * x[below, z] + u * x[below, right]
            out[i, j] = (1 - t) * top + t * bottom
    return out


def position(i: int, source: int, target: int, align_corners: bool) -> tuple[int, float]:
    """The input pixel before output pixel i, and how far beyond it that lies."""
    if align_corners:
        where = i * (source - 1) / (target - 1) if target > 1 else 0.0
    else:
        where = max(0.0, (i + 0.5) * source / target - 0.5)
    before = min(int(where), source - 1)
    return before, min(where - before, 1.0)


def official(
    network: Network, image: NDArray[np.uint8], base: int, crop: int, scales: tuple[float, ...], flip: bool, rate: float
) -> Array:
    """PyTorch-Encoding's MultiEvalModule in junfu1115/DANet, with `base_size`, `crop_size` and `stride_rate`."""
    height, width = image.shape[:2]
    stride = int(crop * rate)
    scores: Any = 0
    for scale in scales:
        long_size = math.ceil(base * scale)
        if height > width:
            h, w = long_size, int(1.0 * width * long_size / height + 0.5)
        else:
            h, w = int(1.0 * height * long_size / width + 0.5), long_size
        picture = interpolated(normalised(image), h, w, True)
        padded = black(picture, max(h, crop), max(w, crop))
        ph, pw = padded.shape[:2]
        outputs: Any = None
        count = np.zeros((ph, pw, 1))
        for i in range(math.ceil((ph - crop) / stride) + 1):
            for j in range(math.ceil((pw - crop) / stride) + 1):
                top, left = i * stride, j * stride
                bottom, right = min(top + crop, ph), min(left + crop, pw)
                window = black(padded[top:bottom, left:right], crop, crop)
                logits = network(window)
                if flip:
                    logits = logits + network(window[:, ::-1])[:, ::-1]
                if outputs is None:
                    outputs = np.zeros((ph, pw, logits.shape[2]))
                outputs[top:bottom, left:right] += np.exp(logits)[: bottom - top, : right - left]
                count[top:bottom, left:right] += 1
        assert count.min() > 0
        scores = scores + interpolated((outputs / count)[:h, :w], height, width, True)
    return scores


def black(picture: Array, height: int, width: int) -> Array:
    """Padded below and to the right with pixels of value 0, normalised."""
    out = np.zeros((height, width, 3)) - MEAN / STD
    out[: picture.shape[0], : picture.shape[1]] = picture
    return out


def mmseg(
    network: Network,
    image: NDArray[np.uint8],
    scale: tuple[int, int],
    ratios: tuple[float, ...],
    flips: tuple[bool, ...],
    align_corners: bool,
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
) -> Array:
    """mmsegmentation's test pipeline and EncoderDecoder; with several ratios or flips, its aug_test."""
    height, width = image.shape[:2]
    total: Any = 0
    for ratio in ratios:
        long_edge, short_edge = int(max(scale) * ratio), int(min(scale) * ratio)
        factor = min(long_edge / max(height, width), short_edge / min(height, width))
        h, w = int(height * factor + 0.5), int(width * factor + 0.5)
        pixels = np.floor(interpolated(image.astype(float), h, w, False) + 0.5 + 1e-9)  # halves go up
        for flip in flips:
            picture = normalised(pixels[:, ::-1] if flip else pixels)
            logits = slid(network, picture, window, stride) if window and stride else network(picture)
            logits = interpolated(logits[:, ::-1] if flip else logits, height, width, align_corners)
            exponential = np.exp(logits)
            total = total + exponential / exponential.sum(axis=2, keepdims=True)
    return total / (len(ratios) * len(flips))


def paddleseg(
    network: Network,
    image: NDArray[np.uint8],
    scales: tuple[float, ...],
    flips: tuple[bool, ...],
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
) -> Array:
    """PaddleSeg's aug_inference; with one scale of 1 and no flip it is its inference."""
    height, width = image.shape[:2]
    total: Any = 0
    for scale in scales:
        resized = interpolated(normalised(image), int(height * scale + 0.5), int(width * scale + 0.5), False)
        for flip in flips:
            picture = resized[:, ::-1] if flip else resized
            logits = slid(network, picture, window, stride) if window and stride else network(picture)
            total = total + interpolated(logits[:, ::-1] if flip else logits, height, width, False)
    return total / (len(scales) * len(flips))


def slid(network: Network, picture: Array, window: tuple[int, int], stride: tuple[int, int]) -> Array:
    """The mean of logits over windows, the last ones moved back: mmseg's slide_inference, and Paddle's."""
    height, width = picture.shape[:2]
    total, count = None, np.zeros((height, width, 1))
    for i in range(max(height - window[0] + stride[0] - 1, 0) // stride[0] + 1):
        for j in range(max(width - window[1] + stride[1] - 1, 0) // stride[1] + 1):
            bottom, right = min(i * stride[0] + window[0], height), min(j * stride[1] + window[1], width)
            top, left = max(bottom - window[0], 0), max(right - window[1], 0)
            logits = network(picture[top:bottom, left:right])
            if total is None:
                total = np.zeros((height, width, logits.shape[2]))
            total[top:bottom, left:right] += logits
            count[top:bottom, left:right] += 1
    assert total is not None
    return total / count

"""Predict the class of every pixel of an image of any size, by any protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt, UInt8

from danet_common.config import DANetConfig
from danet_common.data.image import label_dtype, normalise
from danet_common.data.resizing import Size
from danet_common.evaluation.protocol import Protocol
from danet_common.evaluation.protocols import cut_to_fit, get_protocol
from danet_common.evaluation.windows import Windows, batch_size, place_windows
from danet_common.numerics.interpolation import resize, resize_bytes, resized_rows

# Normalised images (N, H, W, C) float32 -> the logits of `fused` (N, H, W, K), float32 or float64.
PredictLogits = Callable[[Float32[np.ndarray, "n h w c"]], Float[np.ndarray, "n h w k"]]

LARGEST_EXPONENT = 700.0  # exp of it is finite in float64


def predict_labels(
    predict_logits: PredictLogits, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol | str, config: DANetConfig
) -> UInt[np.ndarray, "h w"]:
    """Return the class of every pixel of an RGB image, at its size; uint8 for up to 256 classes.

    All predictions of the project use this function. Raises ValueError for an unknown protocol or no RGB image.
    """
    protocol = get_protocol(protocol)
    size = image.shape[0], image.shape[1]
    labels = np.empty(size, label_dtype(config))
    if protocol.views == 1 and protocol.input_size(size, protocol.scales[0]) == size:
        resized = prepare(image, size, protocol, config)
        for part, rows in scored_rows(predict_logits, resized, protocol, config):
            labels[part] = np.argmax(rows, axis=2)
    else:
        labels[:] = np.argmax(summed_views(predict_logits, image, protocol, config), axis=2)
    return labels


def predict_function(
    predict_logits: Callable[[Any, np.ndarray], np.ndarray], network_in: Callable[[Any], Any]
) -> Callable[..., np.ndarray]:
    """Return `predict` of a package, from its `predict_logits(model, images)` and its `network_in(model)`."""

    def predict(
        model: Any, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol | str = "auto"
    ) -> UInt[np.ndarray, "h w"]:
        """Return the class of every pixel of an RGB image, at its full size, by the procedure of `danet predict`.

        protocol  a name of `danet_common.evaluation.PROTOCOLS`, or a Protocol. "auto" cuts an image larger than
                  1024x1024 pixels (at output stride 8) into windows, with an overlap of 1/3, and averages their logits

        uint8 for up to 256 classes. Raises ValueError for an unknown protocol, and unless the image is RGB.
        """
        network = network_in(model)
        return predict_labels(partial(predict_logits, network), image, protocol, network.config)

    return predict


def summed_views(
    predict_logits: PredictLogits, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol, config: DANetConfig
) -> Float[np.ndarray, "h w k"]:
    """Return the sum of the scores of all views, at the image's size."""
    height, width, _ = image.shape
    total: np.ndarray | None = None
    for scale in protocol.scales:
        picture = prepare(image, protocol.input_size((height, width), scale), protocol, config)
        for mirrored in protocol.mirrorings:
            scores = score(predict_logits, picture[:, ::-1] if mirrored else picture, protocol, config)
            scores = scores[:, ::-1] if mirrored else scores
            for part, rows in resized_rows(scores, height, width, protocol.score_grid or config.upsample_grid):
                if total is None:
                    total = np.zeros((height, width, rows.shape[2]), rows.dtype)
                total[part] += softmax(rows) if protocol.merge == "probabilities" else rows
    assert total is not None
    return total


def prepare(
    image: UInt8[np.ndarray, "h w 3"], size: Size, protocol: Protocol, config: DANetConfig
) -> Float32[np.ndarray, "p q c"]:
    """Resize and normalise an image, in the protocol's order."""
    if protocol.bytes_first:
        return normalise(resize_bytes(image, *size, protocol.image_grid), config)
    return resize(normalise(image, config), *size, protocol.image_grid)


def score(
    predict_logits: PredictLogits, picture: Float32[np.ndarray, "h w c"], protocol: Protocol, config: DANetConfig
) -> Float[np.ndarray, "h w k"]:
    """Return the scores of a view at its size, averaged over windows."""
    scores: np.ndarray | None = None
    for part, rows in scored_rows(predict_logits, picture, protocol, config):
        if scores is None:
            scores = np.empty((*picture.shape[:2], rows.shape[2]), rows.dtype)
        scores[part] = rows
    assert scores is not None
    return scores


def scored_rows(
    predict_logits: PredictLogits, picture: Float32[np.ndarray, "h w c"], protocol: Protocol, config: DANetConfig
) -> Iterator[tuple[slice, Float[np.ndarray, "r w k"]]]:
    """Yield the scores of a view in bands of rows, as soon as no further window covers them, to save memory."""
    height, width, _ = picture.shape
    windows = place_windows((height, width), cut_to_fit(protocol, config, (height, width)))
    padded = fill(picture, windows.covered, config)
    if len(windows.tops) == len(windows.lefts) == 1:
        yield slice(0, height), score_batch(predict_logits, padded[None], protocol)[0, :height, :width]
        return
    left_over: np.ndarray | None = None  # sums of rows that the next windows cover too
    for top, next_top in zip(windows.tops, [*windows.tops[1:], windows.covered[0]], strict=True):
        band = slide(predict_logits, padded[top : top + windows.size[0]], windows, protocol, config)
        if left_over is not None:
            band[: len(left_over)] += left_over
        done = band[: next_top - top, :width]
        done /= windows.counts(top, next_top, width)[..., None].astype(done.dtype)
        yield slice(top, min(next_top, height)), done[: height - top]
        left_over = band[next_top - top :].copy()


def slide(
    predict_logits: PredictLogits,
    band: Float32[np.ndarray, "h w c"],
    windows: Windows,
    protocol: Protocol,
    config: DANetConfig,
) -> Float[np.ndarray, "h w k"]:
    """Return the sum of the scores of a row of windows."""
    count, (height, width) = len(windows.lefts), windows.size
    total: np.ndarray | None = None
    step = batch_size(count, windows.size, config)
    for first in range(0, count, step):
        lefts = windows.lefts[first : first + step]
        scores = score_batch(predict_logits, np.stack([band[:, left : left + width] for left in lefts]), protocol)
        if total is None:
            total = np.zeros((height, windows.covered[1], scores.shape[3]), scores.dtype)
        for left, values in zip(lefts, scores, strict=True):
            total[:, left : left + width] += values
    assert total is not None
    return total


def score_batch(
    predict_logits: PredictLogits, pictures: Float32[np.ndarray, "n h w c"], protocol: Protocol
) -> Float[np.ndarray, "n h w k"]:
    """Return logits, or if the protocol averages exponentials those of the logits and the mirrored images' logits."""
    logits = predict_logits(np.ascontiguousarray(pictures))
    if protocol.merge != "exponentials":
        return logits
    if protocol.flip:
        logits = logits + predict_logits(np.ascontiguousarray(pictures[:, :, ::-1]))[:, :, ::-1]
    # float64: a sum of 2 logits may exceed 88, where float32 overflows and classes would tie at infinity.
    return np.exp(np.minimum(logits, LARGEST_EXPONENT, dtype=np.float64))


def fill(picture: Float32[np.ndarray, "h w c"], size: Size, config: DANetConfig) -> Float32[np.ndarray, "p q c"]:
    """Pad a normalised image with black, below and to the right."""
    if picture.shape[:2] == size:
        return picture
    black = -np.asarray(config.mean, np.float32) / np.asarray(config.std, np.float32)
    filled = np.empty((*size, picture.shape[2]), np.float32)
    filled[:] = black
    filled[: picture.shape[0], : picture.shape[1]] = picture
    return filled


def softmax(x: Float[np.ndarray, "*n k"]) -> Float[np.ndarray, "*n k"]:
    """Return the softmax over classes."""
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)

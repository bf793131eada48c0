"""The class of every pixel of a picture of any size, by any protocol."""

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

# Normalised pictures (N, H, W, C) float32 -> the logits of `fused` (N, H, W, K), float32 or float64.
Infer = Callable[[Float32[np.ndarray, "n h w c"]], Float[np.ndarray, "n h w k"]]

LARGEST_EXPONENT = 700.0  # exp of it is finite in float64


def predict_labels(
    infer: Infer, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol | str, config: DANetConfig
) -> UInt[np.ndarray, "h w"]:
    """Return the class of every pixel of an RGB image, at its own size. uint8 for up to 256 classes.

    `predict` of the three networks, `danet predict`, `danet eval` and the validation of a run all are this function.
    Raises ValueError for an unknown protocol, and for what is no RGB image.
    """
    protocol = get_protocol(protocol)
    size = image.shape[0], image.shape[1]
    labels = np.empty(size, label_dtype(config))
    if protocol.views == 1 and protocol.input_size(size, protocol.scales[0]) == size:
        picture = prepare(image, size, protocol, config)
        for part, rows in scored_rows(infer, picture, protocol, config):
            labels[part] = np.argmax(rows, axis=2)
    else:
        labels[:] = np.argmax(summed_views(infer, image, protocol, config), axis=2)
    return labels


def predict_function(predict_logits: Callable[[Any, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """Return `predict` of a package, from its function of a model and normalised pictures (N, H, W, C)."""

    def predict(
        model: Any, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol | str = "auto"
    ) -> UInt[np.ndarray, "h w"]:
        """Return the class of every pixel of an RGB image, at its full size, by the procedure of `danet predict`.

        protocol  a name of `danet_common.evaluation.PROTOCOLS`, or a Protocol. "auto" cuts an image larger than
                  1024x1024 pixels (at output stride 8) into windows, with an overlap of 1/3, and averages their logits

        uint8 for up to 256 classes. Raises ValueError for an unknown protocol, and unless the image is RGB.
        """
        return predict_labels(partial(predict_logits, model), image, protocol, model.config)

    return predict


def summed_views(
    infer: Infer, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol, config: DANetConfig
) -> Float[np.ndarray, "h w k"]:
    """The sum of the scores of all views, at the image's size."""
    height, width, _ = image.shape
    total: Float[np.ndarray, "h w k"] | None = None
    for scale in protocol.scales:
        picture = prepare(image, protocol.input_size((height, width), scale), protocol, config)
        for mirrored in protocol.mirrorings:
            for part, rows in view_rows(infer, picture, mirrored, (height, width), protocol, config):
                if total is None:
                    total = np.zeros((height, width, rows.shape[2]), rows.dtype)
                total[part] += rows
    assert total is not None
    return total


def view_rows(
    infer: Infer,
    picture: Float32[np.ndarray, "h w c"],
    mirrored: bool,
    size: Size,
    protocol: Protocol,
    config: DANetConfig,
) -> Iterator[tuple[slice, Float[np.ndarray, "r w k"]]]:
    """What one view adds to the sum, some rows at a time."""
    scores = score(infer, picture[:, ::-1] if mirrored else picture, protocol, config)
    scores = scores[:, ::-1] if mirrored else scores
    for part, rows in resized_rows(scores, *size, protocol.score_grid or config.upsample_grid):
        yield part, softmax(rows) if protocol.merge == "probabilities" else rows


def prepare(
    image: UInt8[np.ndarray, "h w 3"], size: Size, protocol: Protocol, config: DANetConfig
) -> Float32[np.ndarray, "p q c"]:
    """The image as the network takes it, resized."""
    if protocol.bytes_first:
        return normalise(resize_bytes(image, *size, protocol.image_grid), config)
    return resize(normalise(image, config), *size, protocol.image_grid)


def score(
    infer: Infer, picture: Float32[np.ndarray, "h w c"], protocol: Protocol, config: DANetConfig
) -> Float[np.ndarray, "h w k"]:
    """What the protocol averages over windows, at the picture's size: logits, or their exponentials."""
    whole: Float[np.ndarray, "h w k"] | None = None
    for part, rows in scored_rows(infer, picture, protocol, config):
        if whole is None:
            whole = np.empty((*picture.shape[:2], rows.shape[2]), rows.dtype)
        whole[part] = rows
    assert whole is not None
    return whole


def scored_rows(
    infer: Infer, picture: Float32[np.ndarray, "h w c"], protocol: Protocol, config: DANetConfig
) -> Iterator[tuple[slice, Float[np.ndarray, "r w k"]]]:
    """The same from above, each row once, as soon as no further window has it: of a large picture never all at once."""
    height, width, _ = picture.shape
    windows = place_windows((height, width), cut_to_fit(protocol, config, (height, width)))
    padded = fill(picture, windows.covered, config)
    if len(windows.tops) == len(windows.lefts) == 1:
        yield slice(0, height), score_batch(infer, padded[None], protocol)[0, :height, :width]
        return
    left_over: Float[np.ndarray, "r w k"] | None = None  # sums of rows that windows further down have too
    for top, following in zip(windows.tops, [*windows.tops[1:], windows.covered[0]], strict=True):
        band = slide(infer, padded[top : top + windows.size[0]], windows, protocol, config)
        if left_over is not None:
            band[: len(left_over)] += left_over
        done = band[: following - top, :width]
        done /= windows.counts(top, following, width)[..., None].astype(done.dtype)
        yield slice(top, min(following, height)), done[: height - top]
        left_over = band[following - top :].copy()


def slide(
    infer: Infer, band: Float32[np.ndarray, "h w c"], windows: Windows, protocol: Protocol, config: DANetConfig
) -> Float[np.ndarray, "h w k"]:
    """The sums of the scores of one row of windows."""
    count, (height, width) = len(windows.lefts), windows.size
    total: Float[np.ndarray, "h w k"] | None = None
    step = batch_size(count, windows.size, config)
    for first in range(0, count, step):
        lefts = windows.lefts[first : first + step]
        scores = score_batch(infer, np.stack([band[:, left : left + width] for left in lefts]), protocol)
        if total is None:
            total = np.zeros((height, windows.covered[1], scores.shape[3]), scores.dtype)
        for left, values in zip(lefts, scores, strict=True):
            total[:, left : left + width] += values
    assert total is not None
    return total


def score_batch(
    infer: Infer, pictures: Float32[np.ndarray, "n h w c"], protocol: Protocol
) -> Float[np.ndarray, "n h w k"]:
    """Logits; where the protocol averages exponentials, those, with the mirrored pictures' logits."""
    logits = infer(np.ascontiguousarray(pictures))
    if protocol.merge != "exponentials":
        return logits
    if protocol.flip:
        logits = logits + infer(np.ascontiguousarray(pictures[:, :, ::-1]))[:, :, ::-1]
    # In float64, as sums of two logits may exceed 88, where float32 ends and classes would tie at infinity.
    return np.exp(np.minimum(logits, LARGEST_EXPONENT, dtype=np.float64))


def fill(picture: Float32[np.ndarray, "h w c"], size: Size, config: DANetConfig) -> Float32[np.ndarray, "p q c"]:
    """The picture with black below and to the right, up to a size."""
    if picture.shape[:2] == size:
        return picture
    black = -np.asarray(config.mean, np.float32) / np.asarray(config.std, np.float32)
    filled = np.empty((*size, picture.shape[2]), np.float32)
    filled[:] = black
    filled[: picture.shape[0], : picture.shape[1]] = picture
    return filled


def softmax(x: Float[np.ndarray, "*n k"]) -> Float[np.ndarray, "*n k"]:
    """Over classes."""
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)

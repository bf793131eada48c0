"""The class of every pixel of a picture of any size, by any protocol."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, UInt, UInt8

from danet_common.config import DANetConfig
from danet_common.data.resizing import Size
from danet_common.evaluation.interpolation import resize, resized_rows
from danet_common.evaluation.protocol import Protocol
from danet_common.evaluation.windows import batch_size, place_windows
from danet_common.image import label_dtype, normalise

# Normalised pictures (N, H, W, C) float32 -> the logits of `fused` (N, H, W, K), float32 or float64.
Infer = Callable[[Float32[np.ndarray, "n h w c"]], Float[np.ndarray, "n h w k"]]

LARGEST_EXPONENT = 700.0  # exp of it is finite in float64


def predict_labels(
    infer: Infer, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol, config: DANetConfig
) -> UInt[np.ndarray, "h w"]:
    """The class of every pixel of an RGB image, at its own size. uint8 for up to 256 classes."""
    height, width = image.shape[:2]
    grid = protocol.score_grid or config.upsample_grid
    softened = protocol.merge == "probabilities" and protocol.views > 1  # of one view it would change no order
    total: Float[np.ndarray, "h w k"] | None = None
    for scale in protocol.scales:
        picture = prepare(image, protocol.input_size((height, width), scale), protocol, config)
        for mirrored in protocol.mirrorings:
            scores = score(infer, picture[:, ::-1] if mirrored else picture, protocol, config)
            scores = scores[:, ::-1] if mirrored else scores
            if total is None:
                total = np.zeros((height, width, scores.shape[2]), scores.dtype)
            for part, rows in resized_rows(scores, height, width, grid):
                total[part] += softmax(rows) if softened else rows
    assert total is not None
    return np.argmax(total, axis=2).astype(label_dtype(config))


def prepare(
    image: UInt8[np.ndarray, "h w 3"], size: Size, protocol: Protocol, config: DANetConfig
) -> Float32[np.ndarray, "p q c"]:
    """The image as the network takes it, resized."""
    if protocol.bytes_first:
        pixels = resize(image.astype(np.float32), *size, protocol.image_grid) if image.shape[:2] != size else image
        return normalise(np.rint(pixels).astype(np.uint8), config)
    return resize(normalise(image, config), *size, protocol.image_grid)


def score(
    infer: Infer, picture: Float32[np.ndarray, "h w c"], protocol: Protocol, config: DANetConfig
) -> Float[np.ndarray, "h w k"]:
    """What the protocol averages over windows, at the picture's size: logits, or their exponentials."""
    height, width, _ = picture.shape
    windows = place_windows((height, width), protocol)
    places, padded = windows.places, fill(picture, windows.covered, config)
    if len(places) == 1:
        return score_batch(infer, padded[None], protocol)[0, :height, :width]
    total: Float[np.ndarray, "h w k"] | None = None
    count = np.zeros((*windows.covered, 1), np.float32)
    step = batch_size(len(places), windows.size, config)
    for first in range(0, len(places), step):
        batch = places[first : first + step]
        scores = score_batch(infer, np.stack([padded[place] for place in batch]), protocol)
        if total is None:
            total = np.zeros((*windows.covered, scores.shape[3]), scores.dtype)
        for place, values in zip(batch, scores, strict=True):
            total[place] += values
            count[place] += 1
    assert total is not None
    total /= count
    return total[:height, :width]


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

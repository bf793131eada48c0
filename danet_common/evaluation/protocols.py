"""The procedures that published figures were made with, by name."""

from __future__ import annotations

from math import isqrt

from danet_common.config import DANetConfig
from danet_common.data.resizing import Size
from danet_common.evaluation.protocol import Protocol

LARGEST_MAP = 2**30  # bytes of the position attention map, in float32, of the largest picture that is taken whole
LONGEST = (
    4  # sides of a window: the longest picture that is taken whole; resizing multiplies by length x length / stride
)

PROTOCOLS: dict[str, Protocol] = {
    # One pass over the picture as it is.
    "whole": Protocol(),
    # junfu1115/DANet b0a0fa0: encoding/models/sseg/base.py, MultiEvalModule, with the README's
    # `--base-size 2048 --crop-size 768`. Normalise; resize to a long side of 2048 with align_corners; windows of 768
    # every int(768 * 2 / 3), the last ones filled with black; each with its mirror image, exp of the summed logits;
    # mean over windows; resize with align_corners; sum over scales. experiments/segmentation/test.py has one scale
    # for Cityscapes, and the others in a comment.
    "official": Protocol(
        long_side=2048,
        flip=True,
        merge="exponentials",
        window=(768, 768),
        stride=(512, 512),
        edge="pad",
        image_grid="corners",
        score_grid="corners",
    ),
    # mmsegmentation: configs/_base_/datasets/cityscapes.py (scale 2048x1024, ratio kept), models/segmentors/base.py
    # and encoder_decoder.py. Resize the bytes; normalise; mean of logits over windows; turn back; resize to the
    # labels' size with the head's align_corners; softmax; mean over the views (seg_tta.py, before 1.0 aug_test).
    "mmseg": Protocol(long_side=2048, short_side=1024, bytes_first=True),
    # configs/danet/danet_r50-d8_769x769_80k_cityscapes.py.
    "mmseg-769": Protocol(
        long_side=2048, short_side=1024, bytes_first=True, window=(769, 769), stride=(513, 513), edge="shift"
    ),
    # PaddleSeg d7975e7: paddleseg/core/infer.py. The picture as it is; with scales it is resized after normalising;
    # logits are resized on the half-pixel grid, whatever that of the network, and averaged without a softmax.
    "paddleseg": Protocol(merge="logits", score_grid="half_pixel"),
}

OFFICIAL_SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25)  # for Cityscapes, the comment in the authors' test.py
MMSEG_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # img_ratios, in the comment of the data set's config

PROTOCOLS |= {
    "official-multi-scale": PROTOCOLS["official"].replace(scales=OFFICIAL_SCALES),
    "mmseg-multi-scale": PROTOCOLS["mmseg"].replace(scales=MMSEG_SCALES, flip=True),
    "mmseg-769-multi-scale": PROTOCOLS["mmseg-769"].replace(scales=MMSEG_SCALES, flip=True),
    "paddleseg-flip": PROTOCOLS["paddleseg"].replace(flip=True),
}


def get_protocol(protocol: Protocol | str) -> Protocol:
    """A protocol as it is, or the named one. Raises ValueError for an unknown name."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]


def fitting_protocol(config: DANetConfig, size: Size, window: Size | None = None) -> Protocol:
    """For a picture of any size: the whole up to LARGEST_MAP and LONGEST, else windows that overlap by a third.

    Position attention looks at all pairs of positions, so its time grows with the square of the pixels: LARGEST_MAP is
    the map of 1024 x 1024 pixels at output stride 8, also if it is never held at once. With `window`, a picture that is
    larger on either side is cut into windows of that size.
    """
    side = isqrt(isqrt(LARGEST_MAP // 4)) * config.output_stride
    height, width = window or (side, side)
    small = size[0] <= height and size[1] <= width if window else fits(size, side)
    if small:
        return Protocol()
    return Protocol(window=(height, width), stride=default_stride((height, width)))


def fits(size: Size, side: int) -> bool:
    """True for a picture of no more pixels than a square of `side`, and not much longer than that."""
    return size[0] * size[1] <= side * side and max(size) <= LONGEST * side


def default_stride(window: Size) -> Size:
    """Two thirds of the window, as the authors have it."""
    return max(1, window[0] * 2 // 3), max(1, window[1] * 2 // 3)

"""The named protocols, with which published scores were made."""

from __future__ import annotations

from math import isqrt

from danet_common.config import DANetConfig
from danet_common.data.resizing import Size
from danet_common.evaluation.protocol import Protocol

LARGEST_MAP = 2**30  # bytes of the position attention map, in float32, of the largest image without windows
LONGEST = 4  # longest side of an image without windows, in sides of a window

PROTOCOLS: dict[str, Protocol] = {
    # One pass over the image as it is; windows if it is too large for position attention.
    "auto": Protocol(fit=True),
    # One pass over the image as it is, of any size.
    "whole": Protocol(),
    # junfu1115/DANet 97f0c42 (2018): encoding/models/base.py, MultiEvalModule, with the README's single scale
    # `--base-size 2048 --crop-size 768`; b0a0fa0 has the same in encoding/models/sseg/base.py. Normalise; resize to a
    # long side of 2048 with align_corners; windows of 768 every int(768 * 2 / 3), the last ones filled with black;
    # each with its mirror image, exp of the summed logits; mean over windows; resize with align_corners.
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
    # configs/_base_/datasets/ade20k.py and pascal_voc12.py (scale 2048x512, ratio kept).
    "mmseg-2048x512": Protocol(long_side=2048, short_side=512, bytes_first=True),
    # PaddleSeg d7975e7: paddleseg/core/infer.py. The picture as it is; with scales it is resized after normalising;
    # logits are resized on the half-pixel grid, whatever that of the network, and averaged without a softmax.
    "paddleseg": Protocol(merge="logits", score_grid="half_pixel"),
}

# With several scales 97f0c42 moves its windows by half of them (encoding/models/base.py), b0a0fa0 by two thirds.
OFFICIAL_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.2)  # 97f0c42, encoding/models/base.py
LATER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # b0a0fa0, experiments/segmentation/test.py, for other data sets
MMSEG_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # img_ratios, in the comment of the data set's config

OFFICIAL = PROTOCOLS["official"]
# b0a0fa0, experiments/segmentation/test.py: the defaults of --base-size and --crop-size, for all other data sets.
SMALLER = OFFICIAL.replace(long_side=520, window=(480, 480), stride=(320, 320))
# 97f0c42, danet/option.py: the defaults of --base-size and --crop-size.
MIDDLE = OFFICIAL.replace(long_side=608, window=(576, 576), stride=(384, 384))

PROTOCOLS |= {
    # The README's `--base-size 2048 --crop-size 1024 --multi-scales`.
    "official-multi-scale": OFFICIAL.replace(scales=OFFICIAL_SCALES, window=(1024, 1024), stride=(512, 512)),
    "official-520-480": SMALLER,
    "official-520-480-multi-scale": SMALLER.replace(scales=LATER_SCALES),
    "official-608-576": MIDDLE,
    "official-608-576-multi-scale": MIDDLE.replace(scales=OFFICIAL_SCALES, stride=(288, 288)),
    "mmseg-multi-scale": PROTOCOLS["mmseg"].replace(scales=MMSEG_SCALES, flip=True),
    "mmseg-769-multi-scale": PROTOCOLS["mmseg-769"].replace(scales=MMSEG_SCALES, flip=True),
    "mmseg-2048x512-multi-scale": PROTOCOLS["mmseg-2048x512"].replace(scales=MMSEG_SCALES, flip=True),
    "paddleseg-flip": PROTOCOLS["paddleseg"].replace(flip=True),
}


def get_protocol(protocol: Protocol | str) -> Protocol:
    """Return a protocol, by name if it is a string. Raises ValueError for an unknown name."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]


def fitting_window(config: DANetConfig, size: Size) -> Size | None:
    """Return the window for an image of this size; None if it needs none.

    The time of position attention grows with the square of the pixels: LARGEST_MAP is the map of 1024 x 1024 pixels at
    output stride 8. An image needs none if it has at most the window's pixels and is not much longer.
    """
    side = isqrt(isqrt(LARGEST_MAP // 4)) * config.output_stride
    fits = size[0] * size[1] <= side * side and max(size) <= LONGEST * side
    return None if fits else (side, side)


def cut_to_fit(protocol: Protocol, config: DANetConfig, size: Size) -> Protocol:
    """Return the protocol with the windows for an image of this size."""
    window = fitting_window(config, size) if protocol.fit and protocol.window is None else None
    return protocol if window is None else protocol.replace(window=window, stride=default_stride(window))


def default_stride(window: Size) -> Size:
    """Return 2/3 of the window, as the authors have it."""
    return max(1, window[0] * 2 // 3), max(1, window[1] * 2 // 3)

"""The settings of a prediction: scales, windows, mirror images, and how their scores are merged.

For each scale, the image is resized and normalised (or in reverse), whole or in windows. `merge` then says

    logits         average over overlapping windows, mirror back, resize to the labels' size, sum over the views
    probabilities  the same, with the softmax over classes before the sum
    exponentials   average exp(logits + logits of the mirrored window) over windows, resize, sum over the scales

The class with the largest sum is the label.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from danet_common.config.network import UpsampleGrid
from danet_common.config.typed_json import require, require_choice
from danet_common.data.resizing import Size, fitted, scaled, with_long_side, with_short_side

Merge = Literal["logits", "probabilities", "exponentials"]
Edge = Literal["shift", "pad"]
LARGEST_SCALE = 16.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One procedure. Raises ValueError naming an invalid field."""

    # Size of the network's input at scale 1, with the image's aspect ratio. Both None: the image's own size.
    long_side: int | None = None  # of the longer side (the authors' base_size)
    short_side: int | None = None  # of the shorter side; with both, as large as fits within them (mmcv's `scale`)

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False  # add the mirrored image, or with `exponentials` the mirrored window
    merge: Merge = "probabilities"  # logits: PaddleSeg; probabilities: mmseg; exponentials: the authors

    # Windows: (height, width), and their steps. None: the whole image at once.
    window: Size | None = None
    stride: Size | None = None
    fit: bool = False  # without a window, cut images that are too large for position attention
    edge: Edge = "shift"  # a window over the edge is moved back (mmseg), or padded with black (authors)

    # Resizing of images and scores.
    image_grid: UpsampleGrid = "half_pixel"  # the authors use align_corners
    bytes_first: bool = False  # round the resized pixels to bytes, then normalise (mmcv)
    score_grid: UpsampleGrid | None = None  # None: the grid of the network's upsampling

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            require_choice(name, getattr(self, name), choices)
        for name in ("long_side", "short_side"):
            side = getattr(self, name)
            require(side is None or side >= 1, name, "None or at least 1", side)
        positive = bool(self.scales) and all(0 < scale <= LARGEST_SCALE for scale in self.scales)
        require(positive, "scales", f"one or more numbers from 0 to {LARGEST_SCALE:g}", self.scales)
        if (self.window is None) != (self.stride is None):
            raise ValueError(f"window and stride go together; got {self.window!r} and {self.stride!r}")
        if self.window is not None and self.stride is not None:
            covers = all(1 <= step <= side for side, step in zip(self.window, self.stride, strict=True))
            require(covers, "stride", f"from 1 to the side of the window {self.window}", self.stride)

    @property
    def mirrorings(self) -> tuple[bool, ...]:
        """True for a mirrored view, for each view of a scale."""
        return (False, True) if self.flip and self.merge != "exponentials" else (False,)

    @property
    def views(self) -> int:
        """Number of views, whose scores are summed."""
        return len(self.scales) * len(self.mirrorings)

    def input_size(self, size: Size, scale: float) -> Size:
        """Return the (height, width) of an image at a scale, before windows and padding."""
        if self.long_side is None and self.short_side is None:
            return scaled(size, scale)
        if self.long_side is None:
            return with_short_side(size, max(1, int((self.short_side or 1) * scale)))
        if self.short_side is None:
            return with_long_side(size, math.ceil(self.long_side * scale))
        return fitted(size, max(1, int(self.long_side * scale)), max(1, int(self.short_side * scale)))

    def replace(self, **changes: Any) -> Protocol:
        """Return a copy with changed fields."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, JSON-ready."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


GRIDS = get_args(UpsampleGrid)
CHOICES = {"merge": get_args(Merge), "edge": get_args(Edge), "image_grid": GRIDS, "score_grid": (None, *GRIDS)}

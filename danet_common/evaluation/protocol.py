"""How a picture becomes labels: one frozen value that says which views of it the network sees and how they are joined.

For each scale, the picture is resized and normalised (or the other way round), whole or in windows. Then

    logits         of overlapping windows are averaged, turned back where the picture was mirrored, resized to the
                   labels' size and summed over the views
    probabilities  the same, with the softmax over classes between resizing and summing
    exponentials   exp(logits + those of the mirrored window) of overlapping windows are averaged, resized to the
                   labels' size and summed over the scales

and the class with the largest sum is the label. A mean over views has the same largest class as their sum.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from danet_common.config.network import UpsampleGrid
from danet_common.data.resizing import Size, fitted, scaled, with_long_side, with_short_side

Merge = Literal["logits", "probabilities", "exponentials"]
Edge = Literal["shift", "pad"]
LARGEST_SCALE = 16.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One procedure. Raises ValueError, naming the field, where a value makes none."""

    # The size of the network's input at scale 1; the picture keeps its shape. None and None: its own.
    long_side: int | None = None  # of the longer side (the authors' base_size)
    short_side: int | None = None  # of the shorter side; with both, as large as fits within them (mmcv's `scale`)

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False  # the mirrored picture, or with `exponentials` the mirrored window, is seen too
    merge: Merge = "probabilities"  # what is averaged: Paddle, mmseg, the authors

    # Windows: their height and width, and the steps from one to the next. None: the whole picture at once.
    window: Size | None = None
    stride: Size | None = None
    fit: bool = False  # cut into windows, if none are set, what is too large for position attention
    edge: Edge = "shift"  # a window that would reach over the edge: moved back (mmseg), or filled with black (authors)

    # How pictures and scores are resized.
    image_grid: UpsampleGrid = "half_pixel"  # the authors resize pictures with align_corners
    bytes_first: bool = False  # pixels are rounded to whole numbers and then normalised (mmcv), not the other way round
    score_grid: UpsampleGrid | None = None  # None: that of the network's own upsampling

    def __post_init__(self) -> None:
        for name, choices in (("merge", get_args(Merge)), ("edge", get_args(Edge)), ("image_grid", GRIDS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")
        if self.score_grid not in (None, *GRIDS):
            raise ValueError(f"score_grid must be None or one of {', '.join(GRIDS)}; got {self.score_grid!r}")
        for name in ("long_side", "short_side"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be None or at least 1; got {getattr(self, name)!r}")
        if not self.scales or not all(0 < scale <= LARGEST_SCALE for scale in self.scales):
            raise ValueError(f"scales must be one or more numbers from 0 to {LARGEST_SCALE:g}; got {self.scales!r}")
        if (self.window is None) != (self.stride is None):
            raise ValueError(f"window and stride go together; got {self.window!r} and {self.stride!r}")
        if self.window is not None and self.stride is not None:
            for side, step in zip(self.window, self.stride, strict=True):
                if not 1 <= step <= side:
                    raise ValueError(
                        f"stride must be from 1 to the window's side, or pixels are left out; "
                        f"got {self.stride!r} for {self.window!r}"
                    )

    @property
    def mirrorings(self) -> tuple[bool, ...]:
        """Whether the picture is mirrored, for each of the views at one scale."""
        return (False, True) if self.flip and self.merge != "exponentials" else (False,)

    @property
    def views(self) -> int:
        """How many sets of scores are summed."""
        return len(self.scales) * len(self.mirrorings)

    def input_size(self, size: Size, scale: float) -> Size:
        """Height and width of a picture as the network sees it, before it is cut into windows or padded."""
        if self.long_side is None and self.short_side is None:
            return scaled(size, scale)
        if self.long_side is None:
            return with_short_side(size, max(1, int((self.short_side or 1) * scale)))
        if self.short_side is None:
            return with_long_side(size, math.ceil(self.long_side * scale))
        return fitted(size, max(1, int(self.long_side * scale)), max(1, int(self.short_side * scale)))

    def replace(self, **changes: Any) -> Protocol:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: every field."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


GRIDS = get_args(UpsampleGrid)

"""A user's settings for reading label files: `--set label_map=255:1`."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from danet_common.config.typed_json import has_type, require, require_choice

VOID = 255  # the class of void in a label map
LARGEST_VALUE = 65535  # of a label file with 16 bits a pixel

LabelMap = tuple[tuple[int, int], ...]  # file value, class
PaletteLabels = Literal["auto", "index", "colour"]
LabelOrientation = Literal["auto", "upright", "stored"]


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """Settings of label files. Raises ValueError naming an invalid field.

    label_map          file value -> class, or 255 for void
    reduce_zero_label  0 is void and 1 is the first class, as in mmsegmentation
    palette_labels     read a palette file by its indices or its colours; auto: by its content
    label_orientation  labels fit the image upright by its EXIF orientation, or as stored; auto: by their sizes
    """

    label_map: LabelMap = ()
    reduce_zero_label: bool = False
    palette_labels: PaletteLabels = "auto"
    label_orientation: LabelOrientation = "auto"

    def __post_init__(self) -> None:
        pairs = f"pairs of a file value from 0 to {LARGEST_VALUE} and a class from 0 to 254, or {VOID} for void"
        valid = has_type(self.label_map, LabelMap) and type(self.label_map) is tuple
        valid = valid and all(0 <= value <= LARGEST_VALUE and 0 <= label <= VOID for value, label in self.label_map)
        require(valid, "label_map", pairs, self.label_map)
        values = [value for value, _ in self.label_map]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"label_map has the file value {twice[0]} twice")
        is_bool = type(self.reduce_zero_label) is bool
        require(is_bool, "reduce_zero_label", "true or false", self.reduce_zero_label)
        for name, choices in (("palette_labels", PaletteLabels), ("label_orientation", LabelOrientation)):
            require_choice(name, getattr(self, name), get_args(choices))

    @property
    def assignments(self) -> list[str]:
        """Fields that differ from the default, as `--set` takes them."""
        values = [(field, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return [f"{field.name}={_text(value)}" for field, value in values if value != field.default]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, JSON-ready."""
        return dataclasses.asdict(self) | {"label_map": [list(entry) for entry in self.label_map]}


def parse_label_map(text: str) -> LabelMap:
    """Parse `"255:1,7:void"`. Raises ValueError."""
    entries = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*:\s*(\d{1,3}|void)\s*", word)
        if match is None:
            raise ValueError(f"label_map takes FILE VALUE:CLASS,... such as 255:1 or 7:void; got {text!r}")
        entries.append((int(match[1]), VOID if match[2] == "void" else int(match[2])))
    return tuple(entries)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{number}:{'void' if label == VOID else label}" for number, label in value)
    return str(value).lower()


NO_SETTINGS = LabelSettings()

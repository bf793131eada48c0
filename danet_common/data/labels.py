"""Label files: one byte a pixel, and a table that says what each byte means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from danet_common.data.dataset import IGNORE, DataError
from danet_common.regular_file import IMAGE, open_regular

LabelTable = tuple[int | None, ...]  # for each of the 256 bytes: a class, IGNORE, or None where it is a fault

ONE_BYTE = ("L", "P", "1")  # Pillow's modes of a grey, a palette and a black-and-white file
FEWER_BITS = ("L;2", "L;4")  # how it decodes a grey file of 2 or 4 bits a pixel: stretched to 0..255, no class numbers


def label_table(classes: Mapping[int, int], ignored: Iterable[int] = ()) -> LabelTable:
    """File values -> classes; 255 and `ignored` are void, every other value is a fault."""
    meaning = {**dict.fromkeys((*ignored, IGNORE), IGNORE), **classes}
    return tuple(meaning.get(value) for value in range(256))


def plain_table(num_classes: int, first: int = 0, ignored: Iterable[int] = ()) -> LabelTable:
    """The classes in their order, beginning with the file value `first`."""
    return label_table({first + label: label for label in range(num_classes)}, ignored)


def read_labels(path: Path, table: LabelTable) -> UInt8[np.ndarray, "h w"]:
    """The classes of a label file. Raises DataError for what is none, and for values that the table has not."""
    try:
        with open_regular(path, IMAGE) as file, Image.open(file) as image:
            if image.mode not in ONE_BYTE:
                raise DataError(f"{path}: labels must be one byte a pixel, a class number; this file is {image.mode}")
            if image.tile and image.tile[0].args in FEWER_BITS:
                raise DataError(
                    f"{path}: labels must be one byte a pixel; this file has {image.tile[0].args[2]} bits of grey"
                )
            values = Image.fromarray(np.asarray(image).astype(np.uint8, copy=False))
    except FileNotFoundError:
        raise DataError(f"{path}: no such label file") from None
    except DataError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise what they please
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable label file ({reason})") from None
    _require_known(path, values.histogram(), table)
    return np.array(values.point([IGNORE if label is None else label for label in table]))


def _require_known(path: Path, histogram: list[int], table: LabelTable) -> None:
    """Raise DataError naming the values that no class has, and how many pixels have them."""
    wrong = [value for value, pixels in enumerate(histogram) if pixels and table[value] is None]
    if not wrong:
        return
    shown = ", ".join(f"{value} ({histogram[value]} px)" for value in wrong[:5]) + ", ..." * (len(wrong) > 5)
    known = _ranges([value for value in range(256) if table[value] is not None])
    raise DataError(f"{path}: class id out of range: {shown}; known are {known}")


def _ranges(values: list[int]) -> str:
    """Ascending numbers with runs shortened: 0-18, 255."""
    starts = [value for value in values if value - 1 not in values]
    ends = [value for value in values if value + 1 not in values]
    return ", ".join(
        f"{first}-{last}" if first < last else f"{first}" for first, last in zip(starts, ends, strict=True)
    )

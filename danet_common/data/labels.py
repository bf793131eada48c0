"""Decode label files: a class number, or the colour of a class, for each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageFile

from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.image_reading import ORIENTATION, SIXTEEN_BITS, open_image
from danet_common.data.label_table import LabelTable, is_read_by_colours
from danet_common.files.regular_file import IMAGE, open_regular

LOSSLESS = ("PNG", "BMP", "TIFF", "GIF", "PPM")  # Pillow's names; PPM includes PGM and PBM
FEWER_BITS = ("L;2", "L;4")  # grey of 2 or 4 bits a pixel: Pillow stretches it to 0..255
MAX_COLOURS = 65536  # of a label file; a photograph has more

Encoding = Literal["number", "grey", "level", "colour"]


@dataclass(frozen=True)
class LabelFile:
    """A decoded label file.

    encoding  number: the pixel's value or palette index; grey: RGB, or a palette, of greys; level: grey levels that are
              colours of classes; colour: RGB, or a palette
    values    file values; RGB as 65536 r + 256 g + b
    counts    file value -> pixels
    meaning   file value -> class, IGNORE, or None if it is unknown
    """

    path: Path
    encoding: Encoding
    values: Integer[np.ndarray, "h w"]
    counts: Mapping[int, int]
    meaning: Mapping[int, int | None]
    table: LabelTable

    @property
    def error(self) -> str | None:
        """Error text for values of no class; None if all are known."""
        unknown = {value: pixels for value, pixels in self.counts.items() if self.meaning[value] is None}
        if not unknown:
            return None
        most = sorted(unknown.items(), key=lambda item: -item[1])[:5]
        more = ", ..." * (len(unknown) > 5)
        if self.encoding == "colour":
            listed = ", ".join(f"{(v >> 16, v >> 8 & 255, v & 255)} ({pixels} px)" for v, pixels in most)
            return f"{self.path}: colours of no class, or of two: {listed}{more}; give each class its own in the list"
        listed = ", ".join(f"{value} ({pixels} px)" for value, pixels in sorted(unknown.items())[:5])
        known = _ranges(sorted(self.table.classes))
        hint = f"--set label_map={min(unknown)}:CLASS, or :void, says what {min(unknown)} means"
        return f"{self.path}: class id out of range: {listed}{more}; known are {known}; {hint}"

    def labels(self) -> UInt8[np.ndarray, "h w"]:
        """Return the class of each pixel, or IGNORE. Raises DataError for values of no class."""
        if self.error is not None:
            raise DataError(self.error)
        if self.values.dtype == np.uint8:
            return np.array(Image.fromarray(self.values).point([self.meaning.get(value) or 0 for value in range(256)]))
        keys = np.array(sorted(self.meaning))
        classes = np.array([self.meaning[int(key)] for key in keys], np.uint8)
        return classes[np.searchsorted(keys, self.values)]


def open_labels(path: Path, table: LabelTable) -> LabelFile:
    """Decode a label file. Raises DataError, naming it, if it does not hold one class a pixel."""
    try:
        with open_regular(path, IMAGE) as file, open_image(file) as image:
            _require_labels(path, image)
            return _decode(path, image, table)
    except FileNotFoundError:
        raise DataError(f"{path}: no such label file") from None
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception for a damaged file
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable label file ({reason})") from None


def _require_labels(path: Path, image: ImageFile.ImageFile) -> None:
    """Raise DataError for a file that changes the labelled pixels."""
    if image.format not in LOSSLESS or image.info.get("compression") == "jpeg":
        name = "JPEG in TIFF" if image.format == "TIFF" else image.format
        raise DataError(f"{path}: {name} changes class numbers; save labels without loss, as PNG")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{path}: a label file must hold one picture; this one holds {frames}")
    if image.tile and image.tile[0].args in FEWER_BITS:
        raise DataError(f"{path}: labels must be one byte a pixel; this file has {image.tile[0].args[2]} bits of grey")
    if Image.Image.getexif(image).get(ORIENTATION, 1) != 1:  # a PNG's own method decodes all pixels
        raise DataError(f"{path}: a label file must have no EXIF orientation; save it upright without")


def _decode(path: Path, image: Image.Image, table: LabelTable) -> LabelFile:
    if image.mode in ("RGBA", "LA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise DataError(f"{path}: labels must have no transparent pixels; say void with a class number of its own")
        return _decode(path, image.convert(image.mode[:-1]), table)
    is_gif = image.format == "GIF" and table.palette != "index"  # whose writers choose the indices
    if image.mode == "RGB" or (image.mode == "P" and is_gif):
        return _decode_colours(path, image.convert("RGB"), table)
    if image.mode == "P":
        return _decode_palette(path, image, table)
    if image.mode in SIXTEEN_BITS:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{path}: labels must be from 0 to 65535; this file has {values.min()} to {values.max()}")
        return _numbers(path, "number", values.astype(np.uint16), table)
    if image.mode not in ("L", "1"):
        raise DataError(f"{path}: labels must be one byte a pixel, a class number; this file is {image.mode}")
    file = _numbers(path, "number", np.asarray(image).astype(np.uint8, copy=False), table)
    levels = {value: table.levels.get(value) for value in file.counts}
    if image.mode == "1" or None in levels.values() or (levels == file.meaning and IGNORE not in levels):
        return file
    return replace(file, encoding="level", meaning=levels)


def _numbers(path: Path, encoding: Encoding, values: Integer[np.ndarray, "h w"], table: LabelTable) -> LabelFile:
    if values.dtype == np.uint8:
        counts = {value: pixels for value, pixels in enumerate(Image.fromarray(values).histogram()) if pixels}
    else:
        distinct, pixels = np.unique(values, return_counts=True)
        counts = dict(zip(distinct.tolist(), pixels.tolist(), strict=True))
    return LabelFile(path, encoding, values, counts, {value: table.classes.get(value) for value in counts}, table)


def _decode_palette(path: Path, image: Image.Image, table: LabelTable) -> LabelFile:
    values = np.asarray(image)
    parts = image.getpalette("RGB") or []
    palette = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    used = np.flatnonzero(Image.fromarray(values).histogram()).tolist()
    try:
        by_colours = is_read_by_colours(used, palette, table)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    if not by_colours:
        return _numbers(path, "number", values, table)
    if max(used) >= len(palette):
        raise DataError(f"{path}: damaged: the palette has {len(palette)} colours, and a pixel is number {max(used)}")
    return _decode_colours(path, image.convert("RGB"), table)


def _decode_colours(path: Path, image: Image.Image, table: LabelTable) -> LabelFile:
    """Decode RGB by colour if all are known, else as numbers if the 3 channels are equal."""
    distinct = image.getcolors(MAX_COLOURS)
    if distinct is None:
        raise DataError(f"{path}: no labels: more than {MAX_COLOURS} colours, as a photograph has")
    counts: dict[tuple[int, int, int], int] = {colour: pixels for pixels, colour in distinct}  # type: ignore[misc]
    known = [table.colours.get(colour) is not None for colour in counts]
    if not all(known) and all(red == green == blue for red, green, blue in counts):
        return _numbers(path, "grey", np.asarray(image)[..., 0], table)
    if not table.colours:
        raise DataError(
            f"{path}: labels in colour, and no class has a colour; give classes.csv a line name,r,g,b for each class, "
            "or save one byte a pixel, a class number"
        )
    values = np.asarray(image).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    packed = {red << 16 | green << 8 | blue: (red, green, blue) for red, green, blue in counts}
    by_value = {value: counts[colour] for value, colour in packed.items()}
    meaning = {value: table.colours.get(colour) for value, colour in packed.items()}
    return LabelFile(path, "colour", values, by_value, meaning, table)


def _ranges(values: list[int]) -> str:
    """Return ascending numbers with runs shortened: 0-18, 255."""
    starts = [value for value in values if value - 1 not in values]
    ends = [value for value in values if value + 1 not in values]
    return ", ".join(f"{start}-{end}" if start < end else f"{start}" for start, end in zip(starts, ends, strict=True))

"""The header of a safetensors file: names, dtypes, shapes and positions of its tensors, all checked.

The file is a length (8 bytes), as much JSON, and the tensors one after another without a gap. Source: the
format's README, https://github.com/huggingface/safetensors, 0.8. The library accepts a duplicate name; this does not.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from danet_common.checkpoint.float8 import FLOAT8
from danet_common.files.regular_file import RegularFile
from danet_common.files.strict_json import parse_json

HEADER_LIMIT = 10_000_000  # bytes; 10 times that of a ResNet-152's training state. The format's own is 10 times this
MAXIMUM_DIMENSIONS = 32
LARGEST_EMPTY = 1 << 20  # largest dimension of a tensor without bytes
METADATA = "__metadata__"
FIELDS = {"dtype", "shape", "data_offsets"}
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": FLOAT8["float8_e4m3fn"],
    "F8_E5M2": FLOAT8["float8_e5m2"],
    "F8_E8M0": FLOAT8["float8_e8m0fnu"],
    "F8_E4M3FNUZ": FLOAT8["float8_e4m3fnuz"],
    "F8_E5M2FNUZ": FLOAT8["float8_e5m2fnuz"],
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
    **{f"{kind.upper()}{8 * size}": np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
}


class Entry(NamedTuple):
    """A tensor: `start` is its first byte in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    size: int


def read_header(file: RegularFile) -> tuple[dict[str, str], dict[str, Entry]]:
    """Return the metadata, and the tensors in the order of their bytes. Raises ValueError for an invalid header."""
    total = file.size
    head = file.read_at(0, min(8, total)).tobytes()
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 0 < length <= min(HEADER_LIMIT, total - 8):
        raise ValueError(f"a header of {length} bytes in a file of {total}")
    content = parse_json(file.read_at(8, length).tobytes())
    if not isinstance(content, dict):
        raise ValueError("the header is no JSON object")
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("the metadata are no texts")
    entries = {name: _entry(name, fields, 8 + length) for name, fields in content.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].size)))
    end = 8 + length
    for name, entry in ordered.items():
        if entry.start != end:
            raise ValueError(f"{name} {'overlaps another tensor' if entry.start < end else 'follows a gap'}")
        end += entry.size
    if end != total:
        raise ValueError(f"the tensors end at byte {end} of {total}")
    return metadata, ordered


def _entry(name: str, fields: Any, base: int) -> Entry:
    if not isinstance(fields, dict) or fields.keys() != FIELDS:
        raise ValueError(f"{name} is not described by {', '.join(sorted(FIELDS))}")
    dtype = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if dtype is None:
        raise ValueError(f"{name} is of an unknown dtype {fields['dtype']!r}")
    shape, offsets = _sizes(name, fields["shape"]), _sizes(name, fields["data_offsets"])
    if len(shape) > MAXIMUM_DIMENSIONS or (0 in shape and max(shape) > LARGEST_EMPTY):
        raise ValueError(f"{name} has {len(shape)} dimensions, or is empty and large")
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} {list(shape)} does not take the bytes {list(offsets)}")
    return Entry(dtype, shape, base + offsets[0], offsets[1] - offsets[0])


def _sizes(name: str, numbers: Any) -> tuple[int, ...]:
    if not isinstance(numbers, list) or any(type(number) is not int or not 0 <= number < 1 << 62 for number in numbers):
        raise ValueError(f"{name} has an invalid shape or offset")
    return tuple(numbers)

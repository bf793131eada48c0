"""Read msgpack in one pass; large byte strings stay in the file until they are used.

The reader compares every announced length with the bytes that are left. A list of n items needs n bytes or
more, so no list outgrows the file. Source: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from weights_convert.containers.file_bytes import FileBytes, part_of

MAXIMUM_DEPTH = 64  # nested maps and lists; a network's tree has about 8

NUMBERS: Mapping[int, str] = {
    0xCA: ">f",
    0xCB: ">d",
    **{0xCC + index: f">{kind}" for index, kind in enumerate("BHIQbhiq")},
}
CONSTANTS: Mapping[int, Any] = {0xC0: None, 0xC2: False, 0xC3: True}
TEXTS: Mapping[int, str] = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
BYTES: Mapping[int, str] = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
EXTENSIONS: Mapping[int, str] = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
FIXED_EXTENSIONS: Mapping[int, int] = {0xD4 + power: 1 << power for power in range(5)}
LISTS: Mapping[int, str] = {0xDC: ">H", 0xDD: ">I"}
MAPS: Mapping[int, str] = {0xDE: ">H", 0xDF: ">I"}


class Extension(NamedTuple):
    """A msgpack extension value."""

    code: int
    data: memoryview


def read_msgpack(data: memoryview | FileBytes, convert: Callable[[Extension], Any]) -> Any:
    """Return the value in `data`; `convert` maps its extensions. Raise ValueError if it is damaged."""
    reader = _Reader(data, convert)
    value = reader.value(0)
    if reader.position != len(data):
        raise ValueError(f"{len(data) - reader.position} bytes follow its end")
    return value


class _Reader:
    def __init__(self, data: memoryview | FileBytes, convert: Callable[[Extension], Any]) -> None:
        self.data, self.convert, self.position = data, convert, 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.position:
            raise ValueError(f"{count} bytes announced, {len(self.data) - self.position} left")
        self.position += count
        return part_of(self.data, self.position - count, self.position)

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def value(self, depth: int) -> Any:
        if depth > MAXIMUM_DEPTH:
            raise ValueError("nested too deeply")
        code = self.take(1)[0]
        if code in CONSTANTS:
            return CONSTANTS[code]
        if code <= 0x7F or code >= 0xE0:
            return code if code <= 0x7F else code - 0x100
        if code in NUMBERS:
            return self.number(NUMBERS[code])
        if 0xA0 <= code <= 0xBF or code in TEXTS:
            length = code & 0x1F if code not in TEXTS else self.number(TEXTS[code])
            return str(self.take(length), "utf-8")
        if code in BYTES:
            return self.take(self.number(BYTES[code]))
        if code in EXTENSIONS or code in FIXED_EXTENSIONS:
            length = FIXED_EXTENSIONS[code] if code in FIXED_EXTENSIONS else self.number(EXTENSIONS[code])
            return self.convert(Extension(self.number(">b"), self.take(length)))
        if 0x90 <= code <= 0x9F or code in LISTS:
            count = code & 0x0F if code not in LISTS else self.number(LISTS[code])
            return [self.value(depth + 1) for _ in range(self.announced(count))]
        if code <= 0x8F or code in MAPS:
            count = code & 0x0F if code not in MAPS else self.number(MAPS[code])
            return self.map(self.announced(2 * count) // 2, depth + 1)
        raise ValueError(f"{code:#04x} is not a msgpack type code")

    def announced(self, count: int) -> int:
        """Return a count of values; each value needs at least one byte."""
        if count > len(self.data) - self.position:
            raise ValueError(f"{count} values announced, {len(self.data) - self.position} bytes left")
        return count

    def map(self, count: int, depth: int) -> dict[str, Any]:
        """Return a map by text. An integer key (the index of a list, in some trees) becomes text."""
        result: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth)
            if type(key) not in (str, int) or str(key) in result:
                raise ValueError("a key is not text, or occurs twice")
            result[str(key)] = self.value(depth)
        return result

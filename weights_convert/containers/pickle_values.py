"""Tables of the pickle instructions that push one value, by operand. Source: Lib/pickletools.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

LONG_BYTES = 1 << 16  # byte strings of this length or more are views, not copies
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)  # in repr() of Python 2's str
ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}


def _text(raw: memoryview) -> str:
    return str(raw, "utf-8", "surrogatepass")


def _old_text(raw: memoryview) -> str:
    return str(raw, "latin-1")  # Python 2's str: text in every checkpoint's keys, bytes in NumPy's arrays


def _bytes(raw: memoryview) -> bytes | memoryview:
    return raw if len(raw) >= LONG_BYTES else bytes(raw)


def _quoted(line: str) -> str:
    if len(line) < 2 or line[0] not in "'\"" or line[-1] != line[0]:
        raise ValueError("a string has no quotes")
    return ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else ESCAPES.get(match[2], match[0]), line[1:-1])


def _whole(line: str) -> int | bool:
    return {"00": False, "01": True}.get(line, int(line.removesuffix("L")))


# Operand: a number of this layout.
NUMBERS: Mapping[int, str] = {ord("J"): "<i", ord("K"): "<B", ord("M"): "<H", ord("G"): ">d"}
# Operand: a length of this layout, then that many bytes.
STRINGS: Mapping[int, tuple[str, Callable[[memoryview], Any]]] = {
    ord("U"): ("<B", _old_text),
    ord("T"): ("<i", _old_text),
    ord("X"): ("<I", _text),
    0x8C: ("<B", _text),
    0x8D: ("<Q", _text),
    ord("C"): ("<B", _bytes),
    ord("B"): ("<I", _bytes),
    0x8E: ("<Q", _bytes),
    0x96: ("<Q", _bytes),
    0x8A: ("<B", lambda raw: int.from_bytes(raw, "little", signed=True)),
    0x8B: ("<i", lambda raw: int.from_bytes(raw, "little", signed=True)),
}
# Operand: a line of text.
LINES: Mapping[int, Callable[[str], Any]] = {
    ord("F"): float,
    ord("I"): _whole,
    ord("L"): _whole,
    ord("S"): _quoted,
    ord("V"): lambda line: line.encode("latin-1").decode("raw_unicode_escape"),
}
# No operand.
CONSTANTS: Mapping[int, Callable[[], Any]] = {
    ord("N"): lambda: None,
    ord(")"): tuple,
    ord("]"): list,
    ord("}"): dict,
    0x88: lambda: True,
    0x89: lambda: False,
    0x8F: list,  # a set
}

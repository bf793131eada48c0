"""Instructions of pickles, as bytes, to put malicious ones together."""

from __future__ import annotations

import struct

CANARY = b"shared_tests.malicious.canary"


def text(value: bytes) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value)) + value


def called(module: bytes, name: bytes, *arguments: bytes) -> bytes:
    """GLOBAL, the arguments, REDUCE."""
    return b"c" + module + b"\n" + name + b"\n(" + b"".join(arguments) + b"tR"


def stacked(module: bytes, name: bytes) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(name) + b"\x93"


COMMAND = text(b"touch hacked")
SING = b"c" + CANARY + b"\nsing\n"

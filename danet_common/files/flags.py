"""Flags of `os.open`, which differ between systems."""

from __future__ import annotations

import os


def flags(*names: str) -> int:
    """Return the flags that this system has. Windows lacks most, and needs O_BINARY."""
    value = getattr(os, "O_BINARY", 0)
    for name in names:
        value |= getattr(os, name, 0)
    return value

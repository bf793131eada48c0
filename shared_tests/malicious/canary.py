"""Target of malicious files: importing or calling this module leaves a trace that the tests detect."""

from __future__ import annotations

from typing import Any

touched: list[Any] = ["imported"]


def sing(*arguments: Any) -> None:
    """Record a call."""
    touched.append(arguments)

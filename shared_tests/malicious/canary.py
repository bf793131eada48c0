"""What a malicious file tries to reach: importing or calling this leaves a trace that the tests look for."""

from __future__ import annotations

from typing import Any

touched: list[Any] = ["imported"]


def sing(*arguments: Any) -> None:
    """Note that somebody called."""
    touched.append(arguments)

"""Whoever looks on while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Callback:
    """Is told what happens, and does nothing about it; a display overrides what it shows."""

    def stepped(self, step: int) -> None:
        """A step is done; steps are counted from 1."""

    def logged(self, record: Mapping[str, Any]) -> None:
        """A line of training went into the metrics file."""

    def validating(self, done: int, count: int) -> None:
        """So many of this process's pictures are judged."""

    def validated(self, record: Mapping[str, Any]) -> None:
        """A line of validation went into the metrics file."""

    def stopping(self) -> None:
        """The run was asked to end, and will when its step is done."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        """The run has ended."""

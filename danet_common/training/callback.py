"""Callbacks of the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Callback:
    """Does nothing at each event; a display overrides the events that it shows."""

    def stepped(self, step: int) -> None:
        """A step is done; steps are counted from 1."""

    def logged(self, record: Mapping[str, Any]) -> None:
        """The metrics file has a new line of training."""

    def validating(self, done: int, count: int) -> None:
        """This process has evaluated `done` of its `count` images."""

    def validated(self, record: Mapping[str, Any]) -> None:
        """The metrics file has a new line of validation."""

    def stopping(self) -> None:
        """A signal came; the run ends after the current step."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        """The run has ended."""

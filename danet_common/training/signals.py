"""Ctrl-C and SIGTERM during training: the run ends after the current step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A context manager whose `asked` turns true at the first signal.

    The handler before it takes a later Ctrl-C: `danet`'s ends the process, Python's raises KeyboardInterrupt.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self.asked = False
        self.announce = announce
        self.before: dict[signal.Signals, Any] = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            before = self.before.get(signal.SIGINT)
            if not callable(before):
                raise KeyboardInterrupt
            before(number, frame)
        if not self.asked:
            self.asked = True
            with suppress(RuntimeError):  # the signal may come within a write to the announcement's stream
                self.announce()

    def __enter__(self) -> Interruption:
        self.before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

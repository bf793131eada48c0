"""Ctrl-C and the system's request to end, heard while a run trains and heeded when its step is done."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """`asked` turns true at the first signal; a Ctrl-C after it is for the handler before. Use as a context manager.

    That is `danet`'s own, which ends the process, or Python's, which raises KeyboardInterrupt.
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
            with suppress(RuntimeError):  # a signal may come within a write to where it would be announced
                self.announce()

    def __enter__(self) -> Interruption:
        self.before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

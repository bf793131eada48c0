"""Rich's console for text from files: no text makes a terminal act.

Rich writes escape sequences of its own for colours and bars, so its output cannot be escaped as a stream. It calls
`render_str` for each string and `render` for each object; both escape here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from danet_common.text import in_one_line, printable


class SafeConsole(Console):
    """Print strings in one line each, without markup or characters that a terminal acts on."""

    def __init__(self, stream: TextIO, width: int | None) -> None:
        raw = getattr(stream, "raw_stream", stream)  # `EscapedStream` would escape rich's own sequences
        super().__init__(file=raw, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Escape before rich measures the text, so that columns fit."""
        return super().render_str(in_one_line(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape `Text` and other objects, which do not pass through `render_str`."""
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                segment = Segment(printable(segment.text), segment.style)
            yield segment

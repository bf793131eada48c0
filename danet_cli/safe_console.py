"""Rich's console for text that may come from a file: nothing that it prints can make a terminal act.

Rich writes its own escape sequences for colours and for the bars that move, so they cannot be cleaned where they are
written. It calls `render_str` for each string and `render` for each object; both are cleaned here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from danet_common.text import in_one_line, printable


class SafeConsole(Console):
    """Strings are one line each without markup; every letter that a terminal should not be given is escaped."""

    def __init__(self, stream: TextIO, width: int | None) -> None:
        beneath = getattr(stream, "beneath", stream)  # standard error itself is cleaned for all others
        super().__init__(file=beneath, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Escape before Rich measures it, so that columns fit."""
        return super().render_str(in_one_line(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape in what strings do not pass through: `Text` and other objects."""
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                segment = Segment(printable(segment.text), segment.style)
            yield segment

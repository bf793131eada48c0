"""What counts in a palette file of labels: the pixels' indices, their colours, or the grey levels of the palette.

An index is the class where the file was written as labels. Where a program chose the palette by itself (a quantised
RGB file, an optimised grey one, every GIF) the index means nothing, and the colour is what was saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from danet_common.config.classes import Colour
from danet_common.data.dataset import IGNORE
from danet_common.data.label_table import LabelTable

Counting = Literal["index", "colour", "grey"]
BLACK_AND_WHITE = [(0, 0, 0), (255, 255, 255)]
SAY_WHICH = "--set palette_labels=index or palette_labels=colour says which counts"


def counting_of(used: Sequence[int], palette: Sequence[Colour], table: LabelTable, renumbered: bool) -> Counting:
    """Return what counts in a file that uses these indices of its palette.

    renumbered  the format's writers choose the indices: GIF

    Raises ValueError where indices and colours are both known and say different classes.
    """
    colours = [palette[index] if index < len(palette) else None for index in used]
    by_index = [table.classes.get(index) for index in used]
    by_colour = [None if colour is None else table.colours.get(colour) for colour in colours]
    grey = all(colour is not None and _is_grey(colour) for colour in colours)
    by_grey = [table.classes.get(colour[0]) if colour and grey else None for colour in colours]
    if table.palette == "index":
        return "index"
    if table.palette == "colour":
        if not table.colours and not grey:
            raise ValueError("labels by colour, and no class has a colour; name them in classes.csv: name,r,g,b")
        return "colour" if table.colours else "grey"
    if renumbered and by_index not in (by_colour, by_grey):
        if table.colours and None not in by_colour:
            return "colour"
        if not grey:
            raise ValueError("programs that write GIF renumber its colours; save labels as PNG")
        return "grey"
    if table.colours and None not in by_colour and by_colour != by_index:
        if None in by_index or all(colour in table.colours for colour in _chosen(palette)):
            return "colour"
        raise ValueError(f"the indices say classes {_said(by_index)}, the colours {_said(by_colour)}; {SAY_WHICH}")
    if table.colours and None in by_index and any(label is not None for label in by_colour):
        return "colour"  # with colours that no class has, which are named
    if not grey or None in by_grey or by_grey == by_index or not all(map(_is_grey, palette)):
        return "index"
    if None in by_index:
        return "grey"
    if list(_chosen(palette)) == BLACK_AND_WHITE:
        return "index"  # as a file of one bit a pixel
    raise ValueError(f"the indices say classes {_said(by_index)}, the grey levels {_said(by_grey)}; {SAY_WHICH}")


def _chosen(palette: Sequence[Colour]) -> Sequence[Colour]:
    """A palette without the black that fills it up."""
    length = len(palette)
    while length > 2 and palette[length - 1] == palette[length - 2] == (0, 0, 0):
        length -= 1
    return palette[: length - 1] if length > 2 and palette[length - 1] == (0, 0, 0) else palette[:length]


def _is_grey(colour: Colour) -> bool:
    return colour[0] == colour[1] == colour[2]


def _said(labels: Sequence[int | None]) -> str:
    return ", ".join("none" if label is None else "void" if label == IGNORE else str(label) for label in labels[:6])

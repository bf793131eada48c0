"""A data set as everything above sees it: numbered pictures with a class for every pixel."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from danet_common.config.classes import ClassSet, Colour

IGNORE = 255  # the label of pixels that are neither learned from nor judged, in every data set here
SHOWN = 20  # faults that an error lists; the rest it counts


class DataError(ValueError):
    """Data that cannot be used. The text is meant for the user: one line, then the further faults if there are any.

    `faults` has all of them, one line each, each naming its file.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        first, *others = self.faults
        if not others:
            return first
        listed = [f"  {fault}" for fault in others[:SHOWN]]
        if len(others) > SHOWN:
            listed.append(f"  ... and {len(others) - SHOWN} more")
        return "\n".join([first, f"{len(others)} further fault{'s' * (len(others) > 1)}:", *listed])


@dataclass(frozen=True)
class Census:
    """Labelled pixels by class, in their order, and void ones."""

    pixels: tuple[int, ...]
    void: int

    def absent(self, names: Sequence[str]) -> list[str]:
        """The classes that no pixel has."""
        return [name for name, pixels in zip(names, self.pixels, strict=True) if not pixels]


def log_remark(text: str) -> None:
    """Warn through Python's logging, which prints it where nothing else is set up."""
    logging.getLogger("danet_common.data").warning("%s", text)


@dataclass(frozen=True)
class Sample:
    """A picture, the class of each of its pixels or `IGNORE`, and its name within the data set."""

    image: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    name: str


class Dataset(ABC):
    """One split of a data set. Items are numbered from 0 in an order that depends on nothing but the data.

    title  what errors call it
    """

    ignore_index = IGNORE

    def __init__(self, title: str, classes: ClassSet) -> None:
        self.title = title
        self.classes = classes

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, in the order of their labels."""
        return self.classes.names

    @property
    def palette(self) -> tuple[Colour, ...]:
        """RGB of each class, 0..255."""
        return self.classes.colours

    @property
    def num_classes(self) -> int:
        """Labels are from 0 to one below this, or `ignore_index`."""
        return len(self.classes.names)

    @property
    @abstractmethod
    def item_names(self) -> Sequence[str]:
        """One for each item, all different."""

    def __len__(self) -> int:
        return len(self.item_names)

    @abstractmethod
    def item(self, index: int) -> Sample:
        """The sample of one number. Raises DataError, naming the file, where it cannot be read."""

    @abstractmethod
    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> Census | None:
        """Look at every item, or at the first `limit` of them, and `log` what is remarkable.

        Returns what the labels hold, or None for a data set whose labels are made when they are asked for. Raises
        DataError listing all faults.
        """

    def fingerprint(self) -> str:
        """Of the items' names and order, so that a run is not carried on with other data unnoticed."""
        return hashlib.sha256("\n".join(self.item_names).encode()).hexdigest()[:16]

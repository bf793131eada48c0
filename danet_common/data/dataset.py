"""A data set: numbered images with a class for every pixel."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from danet_common.config.classes import ClassSet, Colour

IGNORE = 255  # label of void: pixels that are neither trained on nor scored
SHOWN = 20  # errors that a message lists; the rest are counted


class DataError(ValueError):
    """Unusable data. Its text, for the user, is the first of `errors`, then the others, one a line."""

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors)
        self.errors = errors

    def __str__(self) -> str:
        first, *rest = self.errors
        if not rest:
            return first
        listed = [f"  {error}" for error in rest[:SHOWN]]
        if len(rest) > SHOWN:
            listed.append(f"  ... and {len(rest) - SHOWN} more")
        return "\n".join([first, f"{len(rest)} further error{'s' * (len(rest) > 1)}:", *listed])


@dataclass(frozen=True)
class PixelCounts:
    """Number of labelled pixels of each class, and of void pixels."""

    pixels: tuple[int, ...]
    void: int


def log_remark(text: str) -> None:
    """Warn through Python's logging."""
    logging.getLogger("danet_common.data").warning("%s", text)


@dataclass(frozen=True)
class Sample:
    """An image, the class of each pixel or `IGNORE`, and its name in the data set."""

    image: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    name: str


class Dataset(ABC):
    """One split of a data set. Items are numbered from 0; their order depends on the data only.

    title       its name in errors
    item_names  a different name for each item
    """

    ignore_index = IGNORE

    def __init__(self, title: str, classes: ClassSet, item_names: Sequence[str]) -> None:
        self.title = title
        self.classes = classes
        self.item_names = tuple(item_names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return self.classes.names

    @property
    def palette(self) -> tuple[Colour, ...]:
        """RGB of each class, 0..255."""
        return self.classes.colours

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are below it, or `ignore_index`."""
        return len(self.classes.names)

    def __len__(self) -> int:
        return len(self.item_names)

    @abstractmethod
    def item(self, index: int) -> Sample:
        """Return an item. Raises DataError, naming the file, if it cannot be read."""

    @abstractmethod
    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> PixelCounts | None:
        """Check every item, or the first `limit`, and `log` messages. Raises DataError with all errors.

        Returns the pixels of each class; None for generated data.
        """

    def fingerprint(self) -> str:
        """Return a hash of the items' names in order; a run resumes only with the same data."""
        return hashlib.sha256("\n".join(self.item_names).encode()).hexdigest()[:16]

"""Reading ahead: the same tensors in the same order, few at a time, and errors where they belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.prefetch import AHEAD, prefetch


class Counted(Mapping[str, np.ndarray]):
    """Tensors that say how many of them were read; `damaged` is none."""

    def __init__(self, names: str, damaged: str = "") -> None:
        self.names = names
        self.damaged = damaged
        self.read = 0

    def __getitem__(self, name: str) -> np.ndarray:
        if name == self.damaged:
            raise CheckpointError(f"{name} is damaged")
        self.read += 1
        return np.array(self.names.index(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@pytest.mark.parametrize("names", ["", "a", "ab", "abcdefgh"])
def test_order(names: str) -> None:
    assert [(name, int(array)) for name, array in prefetch(Counted(names), names)] == [
        (name, position) for position, name in enumerate(names)
    ]


def test_few_at_a_time() -> None:
    tensors = Counted("abcdefgh")
    for used, _ in enumerate(prefetch(tensors, tensors), start=1):
        assert tensors.read <= used + AHEAD


def test_an_error_comes_in_its_turn() -> None:
    tensors = Counted("abcdefgh", damaged="c")
    ahead = prefetch(tensors, tensors)
    assert [next(ahead)[0], next(ahead)[0]] == ["a", "b"]
    with pytest.raises(CheckpointError, match=r"^c is damaged$"):
        next(ahead)
    assert tensors.read <= 2 + AHEAD

"""Collect the tensors of a pickle by dotted name, from keys of dictionaries and indices of lists.

A pickle may repeat one value, or put a list into itself. So depth and number of values are limited.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from danet_common import CheckpointError
from danet_common.checkpoint.canonical import LONGEST_NAME
from weights_convert.containers.pickle_reader import Opaque
from weights_convert.containers.pickled_arrays import PickledArray
from weights_convert.containers.pickled_tensors import PickledTensor
from weights_convert.contents import OBJECT, Described

DEEPEST = 30
MOST_VALUES = 300_000  # a ResNet-101 with its optimizer and two sets of averages has 10,000


@dataclass
class Tree:
    """Tensors, other values, and the prefix of each, as in `Contents`."""

    tensors: dict[str, Described] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def collect(content: Any) -> Tree:
    """Return the values of a pickle's object. Raise CheckpointError if it has no tensors."""
    tree = flatten(content) if isinstance(content, dict) else Tree()
    if not tree.tensors:
        what = f"{OBJECT} {content.name}" if isinstance(content, Opaque) else _what(content)
        values = {"it": what, **tree.others}
        objects = [f"{name} is {kind}" for name, kind in values.items() if kind.startswith(OBJECT)]
        reason = f": {objects[0]}, which is never run. Save its state_dict() and convert that" if objects else ""
        raise CheckpointError(f"holds no tensors{reason or ', but ' + what}")
    return tree


def flatten(content: dict[Any, Any]) -> Tree:
    """Return the values of nested dictionaries. Raise CheckpointError for more than any checkpoint has."""
    tree, count = Tree(), 0
    waiting: deque[tuple[str, Any, int]] = deque([("", content, 0)])
    while waiting:
        prefix, holder, depth = waiting.popleft()
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            count += 1
            if count > MOST_VALUES:
                raise CheckpointError(f"the pickle has more than {MOST_VALUES} values, more than any checkpoint")
            name = f"{prefix}{key if isinstance(key, str | int) else '?'}"
            tensor = value.array if isinstance(value, PickledArray) else value
            if isinstance(value, PickledTensor | PickledArray) and tensor is not None and name not in tree.tensors:
                tree.tensors[name], tree.holders[name] = tensor, prefix
                continue
            if isinstance(value, dict | list | tuple) and depth < DEEPEST and len(name) < LONGEST_NAME:
                waiting.append((f"{name}.", value, depth + 1))
            if name not in tree.others:
                tree.others[name], tree.holders[name] = _what(value), prefix
    return tree


def _what(value: Any) -> str:
    """Describe a value, for the user."""
    if isinstance(value, Opaque):
        return f"a {value.name}" if value.name.startswith("tensor") else f"{OBJECT} {value.name}"
    return "an array that is not of plain numbers" if isinstance(value, PickledArray) else f"a {type(value).__name__}"

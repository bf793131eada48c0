"""Choose a set of weights of a file: the set that the user names, else the trained one.

One line is logged for each omitted set, with the option that takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from danet_common import CheckpointError
from danet_common.text import pluralise
from weights_convert.contents import OBJECT, Contents, refuse_others
from weights_convert.detect import find_match
from weights_convert.mapping.apply import Log
from weights_convert.mapping.schema import Schema
from weights_convert.weight_sets.find import find_places
from weights_convert.weight_sets.report import OPTION, equal, log_left, log_taken, spoken
from weights_convert.weight_sets.weight_set import PARALLEL, WeightSet, WeightSets, words_of

MOST_SETS = 10  # listed in an error


class SeveralSetsError(CheckpointError):
    """Raised if sets of weights differ and none is the obvious choice; `labels` are their keys."""

    def __init__(self, text: str, labels: Sequence[str]) -> None:
        super().__init__(text)
        self.labels = labels


class Choice(NamedTuple):
    """The chosen set of weights.

    weight_set   the set; None if the file has no complete set
    tensors      name under the schema -> array
    weight_sets  all sets of the file
    """

    weight_set: WeightSet | None
    tensors: Mapping[str, np.ndarray]
    weight_sets: Sequence[WeightSet] = ()


def choose(contents: Contents, schemas: Sequence[Schema] | None, key: str | None, log: Log) -> Choice:
    """Choose a set of weights, and log the omitted ones.

    Raise CheckpointError if `key` names no set, or several that differ. Without `key`, raise it if several trained
    sets differ.
    """
    weight_sets = find_places(contents, schemas)
    if key is not None:
        weight_set = _named(contents, weight_sets, key, schemas)
    else:
        sets = [each for each in weight_sets.complete if not each.backbone_only] or weight_sets.complete
        if not sets and weight_sets.parts:
            _refuse_part(contents, weight_sets, schemas)
        if not sets:
            return Choice(None, _nearest(contents))
        trained = [each for each in sets if not each.averages] or sets
        if weight_sets.exchange is not None:
            trained = [each for each in sets if each.is_at(weight_sets.exchange.averages)] or trained
        weight_set = _one_of(contents, trained)
    refuse_others(contents.others, contents.holders, weight_set.keys.values(), weight_set.prefix)
    log_taken(contents, weight_sets, weight_set, log)
    log_left(contents, weight_sets, weight_set, log)
    tensors = {name: contents.tensors[file] for name, file in weight_set.keys.items()}
    return Choice(weight_set, tensors, [*weight_sets.complete, *weight_sets.parts])


def _named(contents: Contents, weight_sets: WeightSets, key: str, schemas: Sequence[Schema] | None) -> WeightSet:
    """Return the set that the user named: by its label, by some of its keys, or by words of them."""
    word = key.strip().strip(".") or "."
    sets = [*weight_sets.complete, *weight_sets.parts]
    named = [weight_set for weight_set in sets if weight_set.label == word] or [
        weight_set for weight_set in sets if f".{word}." in f".{weight_set.label}."
    ]
    if not named and weight_sets.exchange is None:  # after an exchange the words mislead
        named = [weight_set for weight_set in sets if words_of(word) and words_of(word) <= words_of(weight_set.label)]
    if named:
        return _one_of(contents, [weight_set for weight_set in named if not weight_set.averages] or named)
    within = {name: file for name, file in weight_sets.names.items() if name.startswith(f"{word}.")}
    if within and all(name.rpartition(".")[2].isdecimal() for name in within):
        raise CheckpointError(_nameless(word, len(within)))
    if within:
        try:
            tensors = {name.removeprefix(f"{word}."): contents.tensors[within[name]] for name in within}
            match = find_match(tensors, schemas)
        except CheckpointError as error:
            raise CheckpointError(f"at {word}: {error}") from None
        raise CheckpointError(f"at {word}: incomplete, or mixed with other sets: {'; '.join(match.errors[:1])}")
    if contents.others.get(word, "").startswith(OBJECT):
        raise CheckpointError(f"{word} is {contents.others[word]}, which is never run. Save its state_dict()")
    labels = [spoken(weight_set) for weight_set in sets[:MOST_SETS]] + ["..."] * (len(sets) > MOST_SETS)
    listed = f"it has {', '.join(labels)}" if sets else "it has no complete set of weights"
    exchange = weight_sets.exchange
    exchanged = f"; {exchange.averages} is where {exchange.trainer} stores the moving averages" if exchange else ""
    raise CheckpointError(f"has no weights at {key!r}; {listed}{exchanged}")


def _nameless(holder: str, count: int) -> str:
    """Return the error text for a list of tensors, which has no names."""
    return (
        f"{holder} has {pluralise(count, 'tensor')} in a list, without names; only its own program knows their order. "
        "Load them into the network with that program, and save its state_dict()"
    )


def _one_of(contents: Contents, sets: Sequence[WeightSet]) -> WeightSet:
    """Return the first set if all are equal. Raise SeveralSetsError if they differ."""
    first, *rest = sets
    if all(equal(contents, first, each) for each in rest):
        return first
    options = " or ".join(OPTION.format(weight_set.label) for weight_set in sets[:MOST_SETS])
    text = f"holds {len(sets)} different sets of weights; choose one with {options}"
    raise SeveralSetsError(text, [weight_set.label for weight_set in sets])


def _refuse_part(contents: Contents, weight_sets: WeightSets, schemas: Sequence[Schema] | None) -> None:
    """Raise CheckpointError for a file of another network that has a known backbone."""
    tensors = _nearest(contents)
    advice = f"its backbone alone is taken with {OPTION.format(weight_sets.parts[0].label)}"
    try:
        match = find_match(tensors, schemas, contents.metadata)
        reason = f"incomplete checkpoint of schema {match.schema.name}"
    except CheckpointError as error:
        reason = str(error)
    first, *errors = reason.splitlines()
    raise CheckpointError("\n".join([f"{first.rstrip(':')}; {advice}", *errors]))


def _nearest(contents: Contents) -> Mapping[str, np.ndarray]:
    """Return the tensors of the largest dictionary, for the message that no set is complete.

    Raise CheckpointError for a list, whose tensors have no names.
    """
    holders: dict[str, list[str]] = {}
    for name in contents.tensors:
        holders.setdefault(contents.holders.get(name, ""), []).append(name)
    if not holders:
        return {}
    holder = max(holders, key=lambda each: len(holders[each]))
    if all(name.removeprefix(holder).isdecimal() for name in holders[holder]):
        raise CheckpointError(_nameless(holder.rstrip("."), len(holders[holder])))
    prefix = f"{holder}{PARALLEL}."
    if not all(name.startswith(prefix) for name in holders[holder]):
        prefix = holder
    return {name.removeprefix(prefix): contents.tensors[name] for name in holders[holder]}

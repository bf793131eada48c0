"""Choose a set of weights of a file: the set that the user names, else the trained one.

One line is logged for each omitted set, with the option that takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from danet_common import CheckpointError
from danet_common.text import pluralise
from weights_convert.contents import OBJECT, Contents, Described, headers_of
from weights_convert.mapping.apply import Log
from weights_convert.mapping.match import Match, match
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMA_NAMES, SCHEMAS
from weights_convert.schemas.refusals import refusal
from weights_convert.weight_sets.find import (
    WeightSet,
    WeightSets,
    find_places,
    speaks_of_averages,
    without_wrappers,
    words_of,
)

MOST_SETS = 10  # listed in an error
OPTION = "--weights-key {}"
MOST_GROUPS = 5  # omitted groups that are listed
FIRST_KEYS = 3  # names in the error for a file of unknown names only
FIRST_ERRORS = 5  # errors of the nearest schema in the error text


class SeveralSetsError(CheckpointError):
    """Raised if sets of weights differ and none is the obvious choice; `labels` are their keys."""

    def __init__(self, text: str, labels: Sequence[str]) -> None:
        super().__init__(text)
        self.labels = labels


class Choice(NamedTuple):
    """The chosen set of weights, its tensors by their names under the schema, and all sets of the file."""

    weight_set: WeightSet
    tensors: Mapping[str, np.ndarray]
    weight_sets: Sequence[WeightSet]


def choose(contents: Contents, schemas: Sequence[Schema] | None, key: str | None, log: Log) -> Choice:
    """Choose a set of weights, and log the omitted ones.

    Raise CheckpointError if `key` names no set, or several that differ. Without `key`, raise it if several trained
    sets differ, or if there is none. With `schemas` the chosen set may then be incomplete.
    """
    weight_sets = find_places(contents, schemas)
    if key is not None:
        weight_set = _named(contents, weight_sets, key, schemas)
    elif weight_sets.sets:
        sets = [each for each in weight_sets.sets if not each.backbone_only] or weight_sets.sets
        trained = [each for each in sets if not each.averages] or sets
        if weight_sets.exchange is not None:
            trained = [each for each in sets if each.is_at(weight_sets.exchange.averages)] or trained
        weight_set = _one_of(contents, trained)
    else:
        weight_set = _nearest(contents, weight_sets, schemas)
    _refuse_others(contents, weight_set)
    log_taken(contents, weight_sets, weight_set, log)
    log_left(contents, weight_sets, weight_set, log)
    tensors = {name: contents.tensors[file] for name, file in weight_set.keys.items()}
    return Choice(weight_set, tensors, weight_sets.sets)


def _named(contents: Contents, weight_sets: WeightSets, key: str, schemas: Sequence[Schema] | None) -> WeightSet:
    """Return the set that the user named: by its label, by some of its keys, or by words of them."""
    word, sets, exchange = key.strip().strip(".") or ".", weight_sets.sets, weight_sets.exchange
    named = [each for each in sets if each.label == word] or [each for each in sets if f".{word}." in f".{each.label}."]
    if not named and exchange is None:  # after an exchange the words mislead
        named = [each for each in sets if words_of(word) and words_of(word) <= words_of(each.label)]
    if named:
        return _one_of(contents, [each for each in named if not each.averages] or named)
    within = {name: file for name, file in weight_sets.names.items() if name.startswith(f"{word}.")}
    if within:
        _refuse_list(within)
        try:
            headers = headers_of(contents.tensors)
            match = find_match({name.removeprefix(f"{word}."): headers[within[name]] for name in within}, schemas)
        except CheckpointError as error:
            raise CheckpointError(f"at {word}: {error}") from None
        raise CheckpointError(f"at {word}: incomplete, or mixed with other sets: {'; '.join(match.errors[:1])}")
    if contents.others.get(word, "").startswith(OBJECT):
        raise CheckpointError(f"{word} is {contents.others[word]}, which is never run. Save its state_dict()")
    labels = [spoken(each) for each in sets[:MOST_SETS]] + ["..."] * (len(sets) > MOST_SETS)
    known = f"it has {', '.join(labels)}" if sets else "it has no complete set of weights"
    exchanged = f"; {exchange.averages} is where {exchange.trainer} stores the moving averages" if exchange else ""
    raise CheckpointError(f"has no weights at {key!r}; {known}{exchanged}")


def _one_of(contents: Contents, sets: Sequence[WeightSet]) -> WeightSet:
    """Return the first set if all are equal. Raise SeveralSetsError if they differ."""
    first, *rest = sets
    if all(equal(contents, first, each) for each in rest):
        return first
    options = " or ".join(OPTION.format(weight_set.label) for weight_set in sets[:MOST_SETS])
    text = f"holds {len(sets)} different sets of weights; choose one with {options}"
    raise SeveralSetsError(text, [weight_set.label for weight_set in sets])


def _nearest(contents: Contents, weight_sets: WeightSets, schemas: Sequence[Schema] | None) -> WeightSet:
    """Return the incomplete set of the given schemas that lacks the least; raise CheckpointError without schemas."""
    _refuse_list(contents.tensors)
    unread = {name: what for name, what in contents.others.items() if what.startswith("a tensor")}
    if unread and not weight_sets.tried:
        raise CheckpointError(f"{len(unread)} of its tensors cannot be read:{_by_reason(unread)}")
    keys = {name: name for name in contents.tensors}
    for nearest in sorted(weight_sets.tried, key=WeightSet.distance)[:1]:
        _refuse_others(contents, nearest)
        prefix, knows = nearest.prefix, nearest.match.schema.canonical_name
        holders = {contents.holders.get(file, "") for file in nearest.keys.values()}
        beside = [file for file in keys if contents.holders.get(file, "") in holders and file.startswith(prefix)]
        known = {file: key for key, file in nearest.keys.items() if knows(key)}
        keys = {known.get(file, file.removeprefix(prefix)): file for file in (*known, *beside)}
    headers = headers_of(contents.tensors)
    matched = find_match({name: headers[file] for name, file in keys.items()}, schemas, contents.metadata)
    if not matched.errors:  # the backbone of a DANet with other names
        keys = {name: name for name in contents.tensors}
        matched = find_match(headers, schemas, contents.metadata)
    return WeightSet("", matched, keys, False)


def _refuse_list(names: Iterable[str]) -> None:
    """Raise CheckpointError if most tensors are of a list, which has no names."""
    lists = Counter(name.rpartition(".")[0] for name in names if name.rpartition(".")[2].isdecimal())
    for holder, count in lists.most_common(1):
        if 2 * count > len([*names]):
            raise CheckpointError(
                f"{holder} has {pluralise(count, 'tensor')} in a list, without names; only its own program knows "
                "their order. Load them into the network with that program, and save its state_dict()"
            )


def _refuse_others(contents: Contents, weight_set: WeightSet) -> None:
    """Raise CheckpointError if a name of the network has a value that is not a tensor."""
    prefix, schema = weight_set.prefix, weight_set.match.schema
    containers = tuple({name.rpartition(".")[0] for name in contents.tensors})
    stray = {}
    for name, what in contents.others.items():
        key = without_wrappers(name)[0]
        own = key.startswith(prefix) and schema.owns(key.removeprefix(prefix))
        if own and not any(holder == name or holder.startswith(f"{name}.") for holder in containers):
            stray[key.removeprefix(prefix)] = what
    if stray:
        raise CheckpointError(f"{len(stray)} entries of its state dict are not tensors:{_by_reason(stray)}")


def _by_reason(values: Mapping[str, str]) -> str:
    """Return a text for each reason why values are not read, with the first name."""
    names: dict[str, list[str]] = {}
    for name, what in values.items():
        names.setdefault(what, []).append(name)
    lines = [f"{own[0]}{f' and {len(own) - 1} more' * (len(own) > 1)}: {what}" for what, own in names.items()]
    return listed(lines) if len(lines) > 1 else f" {lines[0]}"


def find_match(
    tensors: Mapping[str, Described], only: Sequence[Schema] | None = None, metadata: Mapping[str, Any] | None = None
) -> Match:
    """Return the best match. A match of `only` these schemas may have errors; any other fits exactly.

    Raise CheckpointError if no schema fits; the error lists the first errors of the nearest one. Raise it too for
    a known network that cannot be converted.
    """
    if not tensors:
        raise CheckpointError("holds no tensors")
    matches = [match(schema, tensors, metadata) for schema in only or SCHEMAS]
    nearest = min(matches, key=lambda each: (bool(each.errors), -len(each.keys), len(each.errors)))
    reason = refusal(list(tensors)) if nearest.errors else None
    if reason is not None:
        raise CheckpointError(f"cannot be converted: {reason}")
    if not nearest.errors or only is not None:
        return nearest
    tried = f"the tensors fit no known schema (tried {', '.join(SCHEMA_NAMES)}); "
    if not nearest.keys:
        first = ", ".join([*tensors][:FIRST_KEYS])
        raise CheckpointError(f"{tried}not one of their {len(tensors)} names is known: {first}, ...")
    count = pluralise(len(nearest.errors), "error")
    raise CheckpointError(f"{tried}{nearest.schema.name} is nearest, with {count}:{listed(nearest.errors)}")


def listed(errors: Sequence[str]) -> str:
    """Return the first errors, a line each, and the number of the others."""
    more = len(errors) - FIRST_ERRORS
    return "".join(f"\n  {line}" for line in [*errors[:FIRST_ERRORS], *[f"and {more} more"] * (more > 0)])


def about_sets(line: str) -> bool:
    """True for a line about the chosen or the omitted tensors."""
    return line.startswith(("weights: ", "left out: "))


def spoken(weight_set: WeightSet) -> str:
    """Return the label of a set; a phrase for the top level."""
    return "the top level (.)" if weight_set.label == "." else weight_set.label


def equal(contents: Contents, first: WeightSet, second: WeightSet) -> bool:
    """True if two sets have equal tensors, bit for bit."""
    if first.match.schema is not second.match.schema or first.match.keys != second.match.keys:
        return False
    pairs = ((contents.tensors[first.keys[key]], contents.tensors[second.keys[key]]) for key in first.keys)
    return all(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def log_taken(contents: Contents, weight_sets: WeightSets, weight_set: WeightSet, log: Log) -> None:
    """Log the chosen set if the file has several, or if its keys have a prefix."""
    wrappers = {part: None for name in weight_set.keys.values() for part in without_wrappers(name)[1]}
    if wrappers:
        log(f"{', '.join(wrappers)}: names of wrappers, removed from the keys")
    holders = {contents.holders.get(name, "") for name in weight_set.keys.values()}
    if len(weight_sets.sets) > 1 or not any(holder.startswith(weight_set.prefix) for holder in holders):
        what = weight_sets.what(weight_set)
        log(f"weights: taken from {spoken(weight_set)}{f', {what}' * bool(what)}")
    if weight_set.base is not None:
        log(f"BatchNorm's statistics: taken from {spoken(weight_set.base)}; {weight_set.label} has parameters only")
    reason = refusal([*weight_sets.names]) if weight_set.backbone_only else None
    if reason is not None:
        log(f"weights: only the backbone is taken: {reason}")


def log_left(contents: Contents, weight_sets: WeightSets, weight_set: WeightSet, log: Log) -> None:
    """Log the omitted parts of a file: other sets, state of the trainer, unreadable objects."""
    for each in weight_sets.sets:
        if each is not weight_set and each.label != weight_set.label:
            what = weight_sets.what(each) or "another set of weights"
            what = "equal weights" if equal(contents, each, weight_set) else what
            log(f"left out: {spoken(each)}, {what}; {OPTION.format(each.label)} takes it")
    used = {name for each in [*weight_sets.sets, weight_set] for name in each.keys.values()}
    groups: dict[str, list[str]] = {}
    for name in headers_of(contents.tensors):
        if name not in used:
            groups.setdefault(name.partition(".")[0], []).append(name)
    for group, names in list(groups.items())[:MOST_GROUPS]:
        unnamed = speaks_of_averages(group) and all(name.rpartition(".")[2].isdecimal() for name in names)
        without = " without names, perhaps moving averages; cannot be taken" if unnamed else ""
        log(f"left out: {names[0] if len(names) == 1 else f'{len(names)} tensors of {group}'}{without}")
    if len(groups) > MOST_GROUPS:
        rest = sum(len(names) for names in list(groups.values())[MOST_GROUPS:])
        log(f"left out: {pluralise(rest, 'tensor')} of {len(groups) - MOST_GROUPS} others")
    for name, what in contents.others.items():
        if what.startswith(OBJECT) and speaks_of_averages(name):
            log(f"left out: {name}, {what}, which is never run. Save its state_dict() to take it")

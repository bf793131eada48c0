"""Log the chosen set of weights of a file and the omitted ones."""

from __future__ import annotations

from danet_common.text import pluralise
from weights_convert.contents import OBJECT, Contents, headers_of
from weights_convert.mapping.apply import Log
from weights_convert.schemas.refusals import refusal
from weights_convert.weight_sets.find import without_wrappers
from weights_convert.weight_sets.weight_set import WeightSet, WeightSets, speaks_of_averages

OPTION = "--weights-key {}"
MOST_GROUPS = 5  # omitted groups that are listed


def about_sets(line: str) -> bool:
    """True for a line about the chosen or the omitted sets of weights."""
    return line.startswith("weights: ") or OPTION.partition(" ")[0] in line


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

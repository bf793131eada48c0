"""Which of the sets of weights in a file is taken: the one that a user names, else the one that was trained.

Whatever is left out is said in a short line each, with the word that takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from danet_common import CheckpointError
from danet_common.wording import counted
from weights_convert.contents import Contents, headers_of
from weights_convert.places import PARALLEL, Place, Places, find_places, speaks_of_averages, words_of
from weights_convert.recognition import find_match
from weights_convert.schemas import Schema
from weights_convert.schemas.engine import Say

OPTION = "--weights-key {}"
TRAINERS = ("state_dict.", "model.", "model_state_dict.")  # where nearly all trainers keep the one set that there is
MOST_GROUPS = 5  # of what is left out, named
MOST_SETS = 10  # named in an error


@dataclass(frozen=True)
class Exchange:
    """A trainer that puts the averages in the place of the weights as it saves, and the weights elsewhere.

    averages, trained  the two places; `witness` begins a name that only such a file has
    """

    averages: str
    trained: str
    witness: str
    trainer: str


EXCHANGES = (
    # mmengine/hooks/ema_hook.py, before_save_checkpoint; mmengine/model/averaged_model.py, the buffer `steps`
    Exchange("state_dict", "ema_state_dict", "ema_state_dict.steps", "MMEngine's EMAHook"),
    # lightning/pytorch/callbacks/weight_averaging.py, on_save_checkpoint
    Exchange("state_dict", "current_model_state", "averaging_state.", "Lightning's WeightAveraging"),
)


@dataclass
class Choice:
    """What is read of a file.

    place    the set that is taken; None where nothing in the file is whole
    tensors  name under the schema -> array
    places   all sets that the file has
    """

    place: Place | None
    tensors: Mapping[str, np.ndarray]
    places: Sequence[Place] = field(default_factory=tuple)


def about_sets(line: str) -> bool:
    """True for a line about which of several sets of weights was taken, or left out."""
    return line.startswith("weights: ") or OPTION.partition(" ")[0] in line


def choose(contents: Contents, wanted: Sequence[Schema] | None, key: str | None, say: Say) -> Choice:
    """Choose a set of weights, and say what was left out.

    Raises CheckpointError where `key` names none, or several that differ, and where without a key the file has
    several that differ and no word tells the averages among them.
    """
    places = find_places(contents, wanted)
    exchange = _exchange_of(contents, places)
    if key is not None:
        place = _named(contents, places, key, wanted, exchange)
    else:
        sets = [each for each in places.whole if not each.backbone_only] or places.whole
        if not sets and places.parts:
            _refuse_part(contents, places, wanted)
        if not sets:
            return Choice(None, _nearest(contents))
        trained = [each for each in sets if not each.averages] or sets
        if exchange is not None:
            trained = [each for each in sets if _is_at(each, exchange.averages)] or trained
        place = _one_of(contents, trained)
    _refuse_others(contents, place)
    _say_taken(contents, places, place, exchange, say)
    _say_left(contents, places, place, exchange, say)
    tensors = {name: contents.tensors[file] for name, file in place.keys.items()}
    return Choice(place, tensors, [*places.whole, *places.parts])


def _exchange_of(contents: Contents, places: Places) -> Exchange | None:
    for exchange in EXCHANGES:
        both = all(any(_is_at(place, at) for place in places.whole) for at in (exchange.averages, exchange.trained))
        if both and any(name.startswith(exchange.witness) for name in (*contents.tensors, *contents.others)):
            return exchange
    return None


def _is_at(place: Place, container: str) -> bool:
    return place.prefix.startswith(f"{container}.")


def _named(
    contents: Contents, places: Places, key: str, wanted: Sequence[Schema] | None, exchange: Exchange | None
) -> Place:
    """The place that a user named: by its whole label, by some of its keys, or by words of them."""
    word = key.strip().strip(".") or "."
    sets = [*places.whole, *places.parts]
    named = [place for place in sets if place.label == word] or [
        place for place in sets if f".{word}." in f".{place.label}."
    ]
    if not named and exchange is None:  # of an exchange the words mislead
        named = [place for place in sets if words_of(word) and words_of(word) <= words_of(place.label)]
    if named:
        return _one_of(contents, [place for place in named if not place.averages] or named)
    within = {name: file for name, file in places.names.items() if name.startswith(f"{word}.")}
    if within and all(name.rpartition(".")[2].isdecimal() for name in within):
        raise CheckpointError(_nameless(word, len(within)))
    if within:
        try:
            match = find_match(
                {name.removeprefix(f"{word}."): contents.tensors[within[name]] for name in within}, wanted
            )
        except CheckpointError as error:
            raise CheckpointError(f"at {word}: {error}") from None
        raise CheckpointError(f"at {word}: not whole, or not apart from other sets: {'; '.join(match.faults[:1])}")
    if contents.others.get(word, "").startswith("an object"):
        raise CheckpointError(f"{word} is {contents.others[word]}, which is never run; save its state_dict()")
    exchanged = f"; {exchange.averages} is {_averages_of(exchange)}" if exchange is not None else ""
    raise CheckpointError(f"has no weights at {key!r}; {_listed(sets)}{exchanged}")


def _nameless(holder: str, count: int) -> str:
    """Why a list of tensors cannot be read."""
    return (
        f"{holder} has {counted(count, 'tensor')} in a list, without names; only the program that made it knows their "
        "order. Put them into the network with that program, and save its state_dict()"
    )


def _listed(sets: Sequence[Place]) -> str:
    """The sets of a file, for a message."""
    if not sets:
        return "it has no whole set of weights anywhere"
    labels = [_spoken(place) for place in sets[:MOST_SETS]] + ["..."] * (len(sets) > MOST_SETS)
    return f"it has {', '.join(labels)}"


def _one_of(contents: Contents, sets: Sequence[Place]) -> Place:
    """The only one of these sets; the first, where all are equal. Raises CheckpointError where they differ."""
    first, *others = sets
    if all(_equal(contents, first, other) for other in others):
        return first
    options = " or ".join(OPTION.format(place.label) for place in sets[:MOST_SETS])
    raise CheckpointError(f"holds {len(sets)} sets of weights that differ; choose one with {options}")


def _spoken(place: Place) -> str:
    return "the top level (.)" if place.label == "." else place.label


def _equal(contents: Contents, one: Place, other: Place) -> bool:
    if one.match.schema is not other.match.schema or one.match.keys != other.match.keys:
        return False
    for key in one.keys:
        left, right = contents.tensors[one.keys[key]], contents.tensors[other.keys[key]]
        if left.shape != right.shape or left.dtype != right.dtype or left.tobytes() != right.tobytes():
            return False
    return True


def _refuse_part(contents: Contents, places: Places, wanted: Sequence[Schema] | None) -> None:
    """Raise CheckpointError for a file of another network that has a known backbone."""
    tensors = _nearest(contents)
    label = places.parts[0].label
    advice = f"its backbone alone is taken with {OPTION.format(label)}"
    try:
        match = find_match(tensors, wanted, contents.remarks)
        reason = f"not a whole checkpoint of schema {match.schema.name}"
    except CheckpointError as error:
        reason = str(error)
    first, *faults = reason.splitlines()
    raise CheckpointError("\n".join([f"{first.rstrip(':')}; {advice}", *faults]))


def _nearest(contents: Contents) -> Mapping[str, np.ndarray]:
    """The tensors that a message speaks of where no set is whole: those of the dictionary with the most.

    Raises CheckpointError for a list, whose tensors have no names.
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


def _refuse_others(contents: Contents, place: Place) -> None:
    """Raise CheckpointError for what lies among the weights and is no tensor."""
    own = set(place.keys.values())
    holders = {contents.holders.get(name, "") for name in own}
    others = [
        name.removeprefix(contents.holders[name])
        for name in contents.others
        if contents.holders[name] in holders and name.startswith(place.prefix) and not _holds(name, own)
    ]
    if others:
        listed = "\n  ".join(others)
        raise CheckpointError(f"{len(others)} entries of its state dict are no tensors:\n  {listed}")


def _holds(name: str, own: Iterable[str]) -> bool:
    """True for a dictionary that holds some of the weights."""
    return any(key.startswith(f"{name}.") for key in own)


def _say_taken(contents: Contents, places: Places, place: Place, exchange: Exchange | None, say: Say) -> None:
    """Say which set is taken where a file has several, or has it in no usual place."""
    if places.wrappers:
        say(f"{', '.join(places.wrappers)}: names of torch's wrappers, taken out of the keys")
    holder = next((contents.holders.get(name, "") for name in place.keys.values()), "")
    within = place.prefix.removeprefix(holder)
    if within == f"{PARALLEL}." and place.base is None:
        say(f"{within}: DataParallel's prefix of every key taken off")
    several = len(places.whole) > 1
    usual = place.prefix in ("", f"{PARALLEL}.", *TRAINERS, *(f"{each}{PARALLEL}." for each in TRAINERS))
    if not several and usual:
        return
    what = _what(place, exchange)
    say(f"weights: taken from {_spoken(place)}{f', {what}' * bool(what)}")
    if place.base is not None:
        say(f"BatchNorm's statistics: taken from {_spoken(place.base)}, as {place.label} has parameters only")


def _what(place: Place, exchange: Exchange | None) -> str:
    """What a set is, where that is known."""
    if exchange is not None and _is_at(place, exchange.averages):
        return _averages_of(exchange)
    if exchange is not None and _is_at(place, exchange.trained):
        return f"where {exchange.trainer} puts the weights that it trains as it saves"
    return "moving averages, by its name" if place.averages else ""


def _averages_of(exchange: Exchange) -> str:
    return f"where {exchange.trainer} puts the moving averages as it saves"


def _say_left(contents: Contents, places: Places, place: Place, exchange: Exchange | None, say: Say) -> None:
    """Say what of a file is left out: the other sets, what trainers keep beside them, and what cannot be read."""
    for other in [*places.whole, *places.parts]:
        if other is not place and other.label != place.label:
            what = _what(other, exchange) or "another set of weights"
            what = "equal weights" if _equal(contents, other, place) else what
            say(f"left out: {_spoken(other)}, {what}; {OPTION.format(other.label)} takes it")
    used = {name for each in [*places.whole, *places.parts, place] for name in each.keys.values()}
    groups: dict[str, list[str]] = {}
    for name in headers_of(contents.tensors):
        if name not in used:
            groups.setdefault(name.partition(".")[0] or name, []).append(name)
    for group, names in list(groups.items())[:MOST_GROUPS]:
        unnamed = speaks_of_averages(group) and all(name.rpartition(".")[2].isdecimal() for name in names)
        without = " without names, perhaps moving averages; they cannot be taken" if unnamed else ""
        say(f"left out: {names[0] if len(names) == 1 else f'{len(names)} tensors of {group}'}{without}")
    if len(groups) > MOST_GROUPS:
        rest = sum(len(names) for names in list(groups.values())[MOST_GROUPS:])
        say(f"left out: {counted(rest, 'tensor')} of {len(groups) - MOST_GROUPS} others")
    for name, what in contents.others.items():
        if what.startswith("an object") and speaks_of_averages(name):
            say(f"left out: {name}, {what}, which is never run; save its state_dict() to take it")

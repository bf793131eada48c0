"""Find complete sets of weights in a file, from names and shapes of its tensors.

Trainers nest a state dict in dictionaries, and wrappers add a prefix to each key. Both give a dotted prefix. A
set of weights is a prefix below which the names of a schema's modules are exactly those of the schema. Wrappers
inside a network add parts that no schema has; these are removed.

A set of averages may have parameters only. It then takes BatchNorm's statistics from the set beside it. A few trainers
store averages in the place of the weights, and the weights under another key.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from danet_common import CheckpointError, Parameter, parameters
from weights_convert.contents import Contents, headers_of
from weights_convert.mapping.match import Match, match
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMAS

STEMS = ("backbone.conv1", "backbone.conv1.conv1")  # every network has one; its key gives a prefix
SECOND = "backbone.layer1.0.conv1"  # every network has this too
MOST_BEGINNINGS = 64  # prefixes of sets in a file
SEPARATORS = (".", "_", "")  # in the names of averages; MMCV's EMAHook and LitEma drop the dots
AVERAGES = frozenset(("ema", "average", "averaged", "averages", "avg", "shadow", "teacher", "swa", "polyak", "target"))
OPTIMIZERS = frozenset(("exp", "sq", "square"))  # Adam's exp_avg and exp_avg_sq
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*")


@dataclass(frozen=True)
class WeightSet:
    """One set of weights, complete if its match has no errors.

    prefix    prefix of the names of its tensors
    match     match with its schema
    keys      name under the schema -> name in the file
    averages  True for moving averages, by a word of the prefix
    base      set with the statistics, for averages of parameters only
    """

    prefix: str
    match: Match
    keys: Mapping[str, str]
    averages: bool
    base: WeightSet | None = None

    @property
    def label(self) -> str:
        """Key for `--weights-key`."""
        return self.prefix.rstrip("._") or "."

    @property
    def backbone_only(self) -> bool:
        """True if the schema has no head."""
        return self.match.schema.backbone_only

    @property
    def is_damaged(self) -> bool:
        """True if the set is incomplete, and its schema knows most of the tensors beside the backbone."""
        head = sum(not name.startswith("backbone.") for name in self.match.keys)
        return bool(self.match.errors) and 2 * head > len(self.keys) - len(self.match.keys) + head

    def distance(self) -> tuple[bool, int, int]:
        """Return a key to sort sets by how well their schemas fit."""
        known = len(self.match.keys) + len(self.match.extra_tensors)
        return bool(self.match.errors), -known, len(self.match.errors)

    def is_at(self, container: str) -> bool:
        """True if the set lies inside a dictionary of the file."""
        return self.prefix.startswith(f"{container}.")


class Exchange(NamedTuple):
    """A trainer and its keys of averages and trained weights; a name with the prefix `witness` tells its files."""

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
class WeightSets:
    """All sets of weights of a file.

    sets      sets with every tensor of a schema; those of a backbone may lie in another network
    tried     incomplete sets
    names     name without wrappers inside a network -> name in the file
    exchange  trainer that exchanged trained weights and averages; None if none did
    """

    sets: list[WeightSet] = field(default_factory=list)
    tried: list[WeightSet] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    exchange: Exchange | None = None

    def what(self, weight_set: WeightSet) -> str:
        """Describe a set; "" if nothing is known."""
        if self.exchange is not None:
            for place, what in (
                (self.exchange.averages, "moving averages"),
                (self.exchange.trained, "trained weights"),
            ):
                if weight_set.is_at(place):
                    return f"where {self.exchange.trainer} stores the {what}"
        return "moving averages, by its name" if weight_set.averages else ""


def find_places(contents: Contents, schemas: Sequence[Schema] | None = None) -> WeightSets:
    """Return every set of a file: trained sets from the outermost inwards, then averages.

    Raise CheckpointError if there are more sets than in any checkpoint.
    """
    weight_sets = _Search(contents, schemas or SCHEMAS).run()
    for exchange in EXCHANGES:
        places = (exchange.averages, exchange.trained)
        if all(any(each.is_at(place) for each in weight_sets.sets) for place in places) and any(
            name.startswith(exchange.witness) for name in (*contents.tensors, *contents.others)
        ):
            weight_sets.exchange = exchange
    return weight_sets


class _Search:
    """Search of one file."""

    def __init__(self, contents: Contents, schemas: Sequence[Schema]) -> None:
        self.headers, self.metadata = headers_of(contents.tensors), contents.metadata
        self.weight_sets = WeightSets()
        self.names = self.weight_sets.names
        self.holders: dict[str, str] = {}  # name -> prefix of its dictionary
        for name in self.headers:
            plain, removed = without_wrappers(name)
            if plain in self.names or (removed and plain in self.headers):
                plain = name
            self.names[plain] = name
            self.holders[plain] = without_wrappers(contents.holders.get(name, ""))[0]
        self.stems = [(schema, *keys) for schema in schemas for keys in _stem_keys(schema)]
        self.taken: set[str] = set()  # names in the file of the sets found so far

    def run(self) -> WeightSets:
        """Search from the longest prefix to the shortest. Each name belongs to one set at most."""
        beginnings: dict[tuple[str, str], list[Schema]] = {}
        for name in self.names:
            for schema, key, second in self.stems:
                if name.endswith(key) and name.removesuffix(key) + second in self.names:
                    beginnings.setdefault((name.removesuffix(key), self.holders[name]), []).append(schema)
        _require_few(beginnings)
        sets, backbones = self.weight_sets.sets, list[WeightSet]()
        damaged: list[str] = []  # prefixes of incomplete networks of which a schema knows more than the backbone
        for (prefix, holder), schemas in sorted(beginnings.items(), key=lambda item: -len(item[0][0])):
            tried = [self.set_at(prefix, holder, schema) for schema in schemas]
            nearest = min(tried, key=WeightSet.distance)
            if not nearest.match.errors:
                (backbones if nearest.backbone_only else sets).append(nearest)
                self.taken |= set() if nearest.backbone_only else set(nearest.keys.values())
            damaged += [prefix] * any(each.is_damaged for each in tried)
            self.weight_sets.tried += [each for each in tried if each.match.errors]
        gammas = tuple(gamma for schema, *_ in self.stems for gamma in schema.gammas.values())
        if any(name.endswith(gammas) and file not in self.taken for name, file in self.names.items()):
            damaged.append("")  # a factor of attention shows that the file is a DANet with other names
        for each in reversed(backbones):  # the shortest prefix first
            outer = [*(done.prefix for done in sets if not done.backbone_only), *damaged]
            covered = any({*each.keys.values()} <= {*done.keys.values()} for done in sets)
            if not covered and not each.prefix.startswith(tuple(outer)):
                sets.append(each)
        order = [prefix for prefix, _ in beginnings]
        sets.sort(key=lambda each: (each.averages, each.prefix.count("."), order.index(each.prefix)))
        for base in [weight_set for weight_set in sets if not weight_set.averages]:
            sets += list(self.averages_of(base))
        return self.weight_sets

    def set_at(self, prefix: str, holder: str, schema: Schema) -> WeightSet:
        """Return the set of a prefix under a schema, without the sets found inside it.

        It has the tensors of the schema's modules. An unknown convolution beside them may be part of a network.
        """

        def belongs(name: str, key: str) -> bool:
            beside = self.holders[name] == holder and len(self.headers[self.names[name]].shape) == 4
            return schema.owns(key) or (beside and not schema.backbone_only and not speaks_of_averages(key))

        keys = {
            name[len(prefix) :]: file
            for name, file in self.names.items()
            if name.startswith(prefix) and file not in self.taken and belongs(name, name[len(prefix) :])
        }
        matched = match(schema, {key: self.headers[file] for key, file in keys.items()}, self.metadata)
        return WeightSet(prefix, matched, keys, speaks_of_averages(prefix))

    def averages_of(self, base: WeightSet) -> Iterator[WeightSet]:
        """Yield the sets of averages that have exactly the parameters of another set."""
        table, known = parameters(base.match.config), {each.prefix for each in self.weight_sets.sets}
        learned = [key for name, key in base.match.keys.items() if name in table and table[name].trainable]
        for separator in SEPARATORS:
            first = learned[0].replace(".", separator)
            prefixes = {name.removesuffix(first) for name in self.names if name.endswith(first)} - known
            prefixes = {prefix for prefix in prefixes if speaks_of_averages(prefix)}
            _require_few(prefixes)
            for prefix in prefixes:
                own = {key: self.names.get(prefix + key.replace(".", separator), "") for key in learned}
                if "" not in own.values() and all(
                    self.headers[own[key]].shape == self.headers[base.keys[key]].shape for key in learned
                ):
                    yield WeightSet(prefix, base.match, {**base.keys, **own}, True, base)


def without_wrappers(name: str) -> tuple[str, list[str]]:
    """Return a name without the modules inside a network that no schema has, and these modules."""
    *modules, leaf = name.split(".")
    known = [_is_known(module) for module in modules]
    first = next((place for place, module in enumerate(modules) if known[place] and not module.isdecimal()), len(known))
    removed = [module for place, module in enumerate(modules) if place > first and not known[place]]
    kept = [module for place, module in enumerate(modules) if place <= first or known[place]]
    return ".".join([*kept, leaf]), removed


@functools.lru_cache(maxsize=10_000)
def _is_known(part: str) -> bool:
    """True for a number, and for a part of a schema's names."""
    return part.isdecimal() or not part or any(schema.has_part(part) for schema in SCHEMAS)


def _require_few(beginnings: Collection[Any]) -> None:
    """Raise CheckpointError for more sets than any checkpoint has: each costs a pass over all names."""
    if len(beginnings) > MOST_BEGINNINGS:
        raise CheckpointError(f"holds more than {MOST_BEGINNINGS} sets of weights, more than any checkpoint")


def _stem_keys(schema: Schema) -> list[tuple[str, str]]:
    """Return upstream keys of the first convolution, each with a key of the first block."""
    *stems, second = (
        schema.upstream_name(Parameter(f"{name}.weight", (1, 1, 1, 1), "kernel")) for name in (*STEMS, SECOND)
    )
    return [(stem, second) for stem in stems if stem is not None and second is not None]


def words_of(name: str) -> set[str]:
    """Split a name into lower-case words: model and ema for model_ema, modelEMA or model.ema."""
    return {word.lower() for word in WORD.findall(name)}


def speaks_of_averages(prefix: str) -> bool:
    """True if a word of the prefix names moving averages."""
    words = words_of(prefix)
    return bool(words & AVERAGES) and not words & OPTIMIZERS

"""Find complete sets of weights in a file, from names and shapes of its tensors.

Trainers nest a state dict in dictionaries, and wrappers add a prefix to each key. Both give a dotted prefix. A
set of weights is a prefix below which the names are exactly those of a schema.

A set of averages may have parameters only. It then takes BatchNorm's statistics from the set beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from danet_common import CheckpointError, Parameter, parameters
from weights_convert.contents import Contents, headers_of
from weights_convert.mapping.match import match
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMAS
from weights_convert.weight_sets.weight_set import EXCHANGES, PARALLEL, WeightSet, WeightSets, speaks_of_averages

# Wrapper modules of torch, anywhere in a network: torch/_dynamo/eval_frame.py,
# torch/distributed/fsdp and torch/distributed/algorithms/_checkpoint, torch 2.13.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
STEMS = ("backbone.conv1", "backbone.conv1.conv1")  # every network has one; its key gives a prefix
SECOND = "backbone.layer1.0.conv1"  # every network has this too
MOST_BEGINNINGS = 64  # prefixes of sets in a file
SEPARATORS = ("_", "")  # instead of dots: MMCV's EMAHook, and LitEma of latent diffusion


def find_places(contents: Contents, schemas: Sequence[Schema] | None = None) -> WeightSets:
    """Return every set of a file: trained sets from the outermost inwards, then averages.

    Raise CheckpointError if there are more sets than in any checkpoint.
    """
    weight_sets = _Search(contents, schemas or SCHEMAS, WRAPPERS).run()
    if not weight_sets.complete and any(f".{PARALLEL}." in name for name in contents.tensors):
        within = _Search(contents, schemas or SCHEMAS, (*WRAPPERS, PARALLEL)).run()
        weight_sets = within if within.complete else weight_sets
    for exchange in EXCHANGES:
        places = (exchange.averages, exchange.trained)
        if all(any(each.is_at(place) for each in weight_sets.complete) for place in places) and any(
            name.startswith(exchange.witness) for name in (*contents.tensors, *contents.others)
        ):
            weight_sets.exchange = exchange
    return weight_sets


class _Search:
    """Search of one file, without the given wrappers in its names."""

    def __init__(self, contents: Contents, schemas: Sequence[Schema], wrappers: Sequence[str]) -> None:
        self.headers = headers_of(contents.tensors)
        self.metadata = contents.metadata
        self.schemas = schemas
        self.weight_sets = WeightSets()
        self.holders: dict[str, str] = {}  # name -> prefix of its dictionary
        for name in self.headers:
            plain, removed = _without(name, wrappers)
            if plain in self.weight_sets.names or (removed and plain in self.headers):
                plain, removed = name, []
            self.weight_sets.names[plain] = name
            self.weight_sets.wrappers += [wrapper for wrapper in removed if wrapper not in self.weight_sets.wrappers]
            self.holders[plain] = _without(contents.holders.get(name, ""), wrappers)[0]
        self.stems = [(schema, *keys) for schema in schemas for keys in _stem_keys(schema)]
        self.taken: set[str] = set()  # names in the file of the sets found so far

    def run(self) -> WeightSets:
        """Search from the longest prefix to the shortest. Each name belongs to one set at most."""
        beginnings: dict[tuple[str, str], list[Schema]] = {}
        for name in self.weight_sets.names:
            for schema, key, second in self.stems:
                if name.endswith(key) and name.removesuffix(key) + second in self.weight_sets.names:
                    schemas = beginnings.setdefault((name.removesuffix(key), self.holders[name]), [])
                    schemas += [schema] * (schema not in schemas)
        _require_few(beginnings)
        squeezed = self.squeezed([prefix for prefix, _ in beginnings])
        backbones: list[tuple[WeightSet, str]] = []
        nearly: list[tuple[str, int]] = []  # prefix and number of known names of incomplete sets
        for (prefix, holder), schemas in sorted(beginnings.items(), key=lambda item: -len(item[0][0])):
            keys = self.names_at(prefix, holder)
            described = {key: self.headers[name] for key, name in keys.items()}
            matches = [match(schema, described, self.metadata) for schema in schemas]
            nearest = min(matches, key=lambda each: (bool(each.errors), -len(each.keys), len(each.errors)))
            weight_set = WeightSet(prefix, nearest, keys, speaks_of_averages(prefix))
            if not nearest.errors and not weight_set.backbone_only:
                self.weight_sets.complete.append(weight_set)
                self.taken |= set(keys.values())
                continue
            nearly += [(prefix, len(each.keys)) for each in matches if not each.schema.backbone_only]
            if not nearest.errors:
                backbones.append((weight_set, holder))
        backbones = _outermost(backbones)
        known = self.taken | {name for weight_set, _ in backbones for name in weight_set.keys.values()}
        for weight_set, holder in backbones:
            self.sort_backbone(weight_set, holder, nearly, known)
        sets, order = self.weight_sets.complete, [prefix for prefix, _ in beginnings]
        sets.sort(key=lambda each: (each.averages, each.prefix.count("."), order.index(each.prefix)))
        for base in [weight_set for weight_set in sets if not weight_set.averages]:
            for prefix in self.beginnings_of(base):
                self.add_partial(base, {key: prefix + key for key in _trainable(base)}, prefix)
            for prefix, group in squeezed.items():
                self.add_partial(base, {key: group[key] for key in _trainable(base) if key in group}, prefix)
        return self.weight_sets

    def names_at(self, prefix: str, holder: str) -> dict[str, str]:
        """Return name under the schema -> name in the file, for a prefix and without the sets found inside it."""
        direct = prefix.startswith(holder)  # else the set spans several dictionaries
        return {
            name[len(prefix) :]: file
            for name, file in self.weight_sets.names.items()
            if name.startswith(prefix) and file not in self.taken and (self.holders[name] == holder if direct else True)
        }

    def squeezed(self, beginnings: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return averages whose names have no dots, by prefix: key -> name."""
        groups: dict[str, dict[str, str]] = {}
        for separator in SEPARATORS:
            stems = {(key.replace(".", separator), second.replace(".", separator)) for _, key, second in self.stems}
            prefixes = {
                name.removesuffix(stem)
                for name in self.weight_sets.names
                for stem, second in stems
                if name.endswith(stem) and name.removesuffix(stem) + second in self.weight_sets.names
            }
            prefixes = {prefix for prefix in prefixes if speaks_of_averages(prefix)}
            _require_few(prefixes)
            for prefix in prefixes:
                for beginning in beginnings:
                    keys = [name[len(beginning) :] for name in self.weight_sets.names if name.startswith(beginning)]
                    names = {key: prefix + key.replace(".", separator) for key in keys if "." in key}
                    group = {key: name for key, name in names.items() if name in self.weight_sets.names}
                    if len(group) > len(groups.get(prefix, {})):
                        groups[prefix] = group
        self.taken |= {self.weight_sets.names[name] for group in groups.values() for name in group.values()}
        return groups

    def beginnings_of(self, base: WeightSet) -> list[str]:
        """Return the prefixes of names that end with the stem of a set and name averages."""
        stem = next(base.match.keys[f"{name}.weight"] for name in STEMS if f"{name}.weight" in base.match.keys)
        prefixes = (name.removesuffix(stem) for name in self.weight_sets.names if name.endswith(f".{stem}"))
        known = {weight_set.prefix for weight_set in self.weight_sets.complete}
        return [prefix for prefix in prefixes if prefix not in known and speaks_of_averages(prefix)]

    def add_partial(self, base: WeightSet, parts: Mapping[str, str], prefix: str) -> None:
        """Add a set of averages that has exactly the parameters of another set."""
        names, trainable = self.weight_sets.names, _trainable(base)
        complete = len(parts) == len(trainable) and all(
            parts[key] in names and self.headers[names[parts[key]]].shape == self.headers[base.keys[key]].shape
            for key in trainable
        )
        if complete and prefix not in {weight_set.prefix for weight_set in self.weight_sets.complete}:
            keys = {**base.keys, **{key: names[name] for key, name in parts.items()}}
            self.weight_sets.complete.append(WeightSet(prefix, base.match, keys, True, base))

    def sort_backbone(
        self, weight_set: WeightSet, holder: str, nearly: Sequence[tuple[str, int]], known: Set[str]
    ) -> None:
        """Add a backbone unless it lies in another set or in another network."""
        if any(
            weight_set.prefix.startswith(each.prefix) for each in self.weight_sets.complete if not each.backbone_only
        ):
            return
        count = len(weight_set.match.keys)
        if any(weight_set.prefix.startswith(prefix) and more > count for prefix, more in nearly):
            return  # part of a damaged DANet: another schema knows its head
        rest = [name for name, of in self.holders.items() if of == holder and self.weight_sets.names[name] not in known]
        (self.weight_sets.parts if rest else self.weight_sets.complete).append(weight_set)


def _outermost(backbones: list[tuple[WeightSet, str]]) -> list[tuple[WeightSet, str]]:
    """Drop backbones that another schema covers from a shorter prefix with more tensors."""
    kept: list[tuple[WeightSet, str]] = []
    for weight_set, holder in reversed(backbones):  # the shortest prefix first
        own = set(weight_set.keys.values())
        if not any(own <= set(each.keys.values()) for each, _ in kept):
            kept.append((weight_set, holder))
    return kept


def _require_few(beginnings: Collection[Any]) -> None:
    """Raise CheckpointError for more sets than any checkpoint has: each costs a pass over all names."""
    if len(beginnings) > MOST_BEGINNINGS:
        raise CheckpointError(f"holds more than {MOST_BEGINNINGS} sets of weights, more than any checkpoint")


def _without(name: str, wrappers: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name without these parts, and the removed parts."""
    parts = name.split(".")
    removed = [part for part in parts if part in wrappers]
    return ".".join(part for part in parts if part not in wrappers), removed


def _stem_keys(schema: Schema) -> list[tuple[str, str]]:
    """Return upstream keys of the first convolution, each with a key of the first block."""
    *stems, second = (
        schema.upstream_name(Parameter(f"{name}.weight", (1, 1, 1, 1), "kernel")) for name in (*STEMS, SECOND)
    )
    return [(stem, second) for stem in stems if stem is not None and second is not None]


def _trainable(weight_set: WeightSet) -> list[str]:
    """Return the keys of trainable tensors, by name under the schema."""
    table, keys = parameters(weight_set.match.config), weight_set.match.keys
    return [key for name, key in keys.items() if name in table and table[name].trainable]

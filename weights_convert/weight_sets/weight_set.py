"""Sets of weights of a file, and the trainers that exchange trained weights and moving averages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from weights_convert.mapping.match import Match

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


@dataclass(frozen=True)
class Exchange:
    """A trainer that stores averages in the place of the weights, and the weights under another key.

    averages  key of the moving averages
    trained   key of the trained weights
    witness   prefix of a name that only such a file has
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
            roles = {self.exchange.averages: "moving averages", self.exchange.trained: "trained weights"}
            for place, what in roles.items():
                if weight_set.is_at(place):
                    return f"where {self.exchange.trainer} stores the {what}"
        return "moving averages, by its name" if weight_set.averages else ""


def words_of(name: str) -> set[str]:
    """Split a name into lower-case words: model and ema for model_ema, modelEMA or model.ema."""
    return {word.lower() for word in WORD.findall(name)}


def speaks_of_averages(prefix: str) -> bool:
    """True if a word of the prefix names moving averages."""
    words = words_of(prefix)
    return bool(words & AVERAGES) and not words & OPTIMIZERS

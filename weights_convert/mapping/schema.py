"""A schema: one owner's names for the tensors of a DANet, as facts, and what follows from them.

A name is a module's path and a leaf. The tables pair module paths of ours with the owner's; `{L}` and the
like stand for numbers, equal on both sides up to a shift: `layer{L}.{i}` with `bb_{L-1}_{i}`. Nothing is
guessed: a key that no row produces is a fault.

Where an owner's names differ from version to version or from stem to stem, the owner has several schemas
of one name, told apart by `layout`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from danet_common import DANetConfig, Parameter
from danet_common.parameters import Kind

PLACEHOLDER = re.compile(r"\{(\w)([+-]\d)?\}")
NUMBER = "(0|[1-9][0-9]{0,3})"  # one spelling for each number, so that no two keys mean the same tensor

WrapStateDict = Callable[[Mapping[str, np.ndarray]], dict[str, Any]]
FromMetadata = Callable[[Mapping[str, Any]], dict[str, Any]]


class StateDictWrapper(Protocol):
    """Makes the object that the owner's trainer saves."""

    def __call__(self, state_dict: Mapping[str, np.ndarray], config: DANetConfig) -> dict[str, Any]: ...


CONVOLUTION: Mapping[Kind, str] = {"kernel": "weight", "bias": "bias"}
TORCH_NORM: Mapping[Kind, str] = {
    "scale": "weight",
    "shift": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "count": "num_batches_tracked",
}


@dataclass(frozen=True)
class Assumption:
    """A config field that the owner's file cannot tell: what is taken for it unless set, and why.

    `value` is the value, or a function of the config that the tensors told; `concerns` says whether it has any
    part in a network.
    """

    field: str
    value: Any
    reason: str
    concerns: Callable[[DANetConfig], bool] = lambda config: True

    def default(self, config: DANetConfig) -> Any:
        """The value for this network."""
        return self.value(config) if callable(self.value) else self.value


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One owner's layout.

    source         repository, and the commit or version that the facts were read from
    layout         which of the owner's several layouts of names, where there are several
    convolutions   our module -> the owner's, for convolutions
    norms          the same for BatchNorms
    gammas         our tensor -> the owner's, for the attention scales and other factors
    norm_leaves    the owner's words for a BatchNorm's tensors; without "count" the owner keeps no counter
    gamma_shape    (1,) or ()
    matrices       our 1x1 kernels that the owner keeps as the matrices of linear layers
    shared         our module that the owner does not have -> the one of ours whose tensors it uses
    folded         the owner's bias before a BatchNorm -> that BatchNorm's mean, from which it is subtracted
    order          how keys begin, in the owner's order; keys that begin alike are in ours
    facts          config fields that all networks of this owner share
    choices        config field -> the values that networks of this owner have, where they are several
    untold         config fields that neither the tensors nor the owner fix
    stated         what the remarks in the owner's file say: {"meta": ...} -> config fields
    passengers     tensors that the owner's network has but never uses, and their shape where we make them up
    notes          what a user should know of every file of this owner
    wrap           the object around the state dict, where there is one; from the tensors and the config
    formats        names of the file formats in which the owner's code reads it
    backbone_only  the owner's network ends before the head
    """

    name: str
    source: str
    layout: str = ""
    convolutions: Mapping[str, str]
    norms: Mapping[str, str]
    gammas: Mapping[str, str] = field(default_factory=dict)
    norm_leaves: Mapping[Kind, str] = field(default_factory=lambda: TORCH_NORM)
    gamma_shape: tuple[int, ...] = (1,)
    linear_weights: frozenset[str] = frozenset()
    tied_modules: Mapping[str, str] = field(default_factory=dict)
    absorbed_biases: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    fixed_config: Mapping[str, Any] = field(default_factory=dict)
    allowed_config: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    assumptions: tuple[Assumption, ...] = ()
    from_metadata: FromMetadata | None = None
    extra_tensors: Mapping[str, Callable[[DANetConfig], tuple[int, ...]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wrap_state_dict: StateDictWrapper | None = None
    formats: tuple[str, ...] = ("torch", "safetensors")
    backbone_only: bool = False

    def upstream_name(self, parameter: Parameter) -> str | None:
        """The owner's key of one of our tensors; None where the owner has no such tensor."""
        if parameter.is_factor:
            return self.gammas.get(parameter.name)
        module = self._to_upstream.translate(parameter.name.rpartition(".")[0], "norm" if parameter.is_norm else "conv")
        leaf = (self.norm_leaves if parameter.is_norm else CONVOLUTION).get(parameter.kind)
        return None if module is None or leaf is None else f"{module}.{leaf}"

    def canonical_name(self, key: str) -> str | None:
        """Our name for an owner's key; None where no row of the tables has it."""
        if key in self._gamma_names:
            return self._gamma_names[key]
        module, _, leaf = key.rpartition(".")
        for kind, leaves in (("conv", CONVOLUTION_NAMES), ("norm", self._norm_names)):
            ours = self._from_upstream.translate(module, kind) if leaf in leaves else None
            if ours is not None:
                return f"{ours}.{leaves[leaf]}"
        return None

    def upstream_shape(self, parameter: Parameter) -> tuple[int, ...]:
        """The shape under which the owner keeps one of our tensors."""
        if parameter.name in self.linear_weights:
            return parameter.shape[:2]
        return self.gamma_shape if parameter.is_factor else parameter.shape

    def sharing(self, name: str) -> str | None:
        """Our tensor that the owner uses in the place of this one of ours; None where it is the owner's own."""
        module, _, leaf = name.rpartition(".")
        return f"{self.tied_modules[module]}.{leaf}" if module in self.tied_modules else None

    def place(self, key: str) -> int:
        """Where the owner's order has the first keys that begin like this one."""
        return next((place for place, start in enumerate(self.order) if key.startswith(start)), len(self.order))

    def allows(self, name: str, value: Any) -> bool:
        """Whether a network of this owner can have this value of a config field."""
        if name in self.fixed_config:
            return bool(value == self.fixed_config[name])
        return name not in self.allowed_config or value in self.allowed_config[name]

    @cached_property
    def _to_upstream(self) -> _Table:
        return _Table({"conv": self.convolutions, "norm": self.norms})

    @cached_property
    def _from_upstream(self) -> _Table:
        return _Table(
            {
                "conv": {theirs: ours for ours, theirs in self.convolutions.items()},
                "norm": {theirs: ours for ours, theirs in self.norms.items()},
            }
        )

    @cached_property
    def _gamma_names(self) -> dict[str, str]:
        return {theirs: ours for ours, theirs in self.gammas.items()}

    @cached_property
    def _norm_names(self) -> dict[str, str]:
        return {theirs: TORCH_NORM[kind] for kind, theirs in self.norm_leaves.items()}


CONVOLUTION_NAMES = {leaf: leaf for leaf in CONVOLUTION.values()}


class _Table:
    """Rows of one direction: those without numbers looked up, those with numbers matched."""

    def __init__(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        self.plain: dict[tuple[str, str], str] = {}
        self.numbered: list[tuple[str, re.Pattern[str], list[tuple[str, int]], str]] = []
        for kind, modules in rows.items():
            for left, right in modules.items():
                if PLACEHOLDER.search(left):
                    variables = [(name, int(shift or 0)) for name, shift in PLACEHOLDER.findall(left)]
                    literals = PLACEHOLDER.split(left)[::3]
                    pattern = re.compile(NUMBER.join(re.escape(literal) for literal in literals))
                    self.numbered.append((kind, pattern, variables, right))
                else:
                    self.plain[kind, left] = right

    def translate(self, module: str, kind: str) -> str | None:
        if (kind, module) in self.plain:
            return self.plain[kind, module]
        for row_kind, pattern, variables, right in self.numbered:
            match = pattern.fullmatch(module) if row_kind == kind else None
            if match:
                values = {
                    (name, int(text) - shift) for (name, shift), text in zip(variables, match.groups(), strict=True)
                }
                numbers = dict(values)
                return _fill(right, numbers) if len(numbers) == len(values) else None  # else one with two values
        return None


def _fill(template: str, numbers: Mapping[str, int]) -> str:
    """The template with its placeholders as numbers."""
    return PLACEHOLDER.sub(lambda place: str(numbers[place[1]] + int(place[2] or 0)), template)

"""Define `Schema`: the names that an upstream project gives the tensors of a DANet, as tables.

A name is a module path and a leaf. Each table maps a canonical module path to the upstream one. `{L}` and
other letters stand for numbers, equal on both sides up to a shift: `layer{L}.{i}` to `bb_{L-1}_{i}`. A key
that no row produces is an error; nothing is guessed.

If the names depend on a version or on the stem, the project has several schemas of one name with different
`layout`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from danet_common import DANetConfig, Parameter
from danet_common.config.tensors import Kind

PLACEHOLDER = re.compile(r"\{(\w)([+-]\d)?\}")
NORM = re.compile(r"(.*\.)?(bn\d*|\w+_bn|downsample\.1)")  # canonical names of BatchNorms
NUMBER = "(0|[1-9][0-9]{0,3})"  # no leading zeros, so that no two keys mean the same tensor

FromMetadata = Callable[[Mapping[str, Any]], dict[str, Any]]
StateDictWrapper = Callable[[Mapping[str, np.ndarray], DANetConfig], dict[str, Any]]

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
    """Default of a config field that the upstream file does not determine, and the reason.

    `value` is the default, or a function of the inferred config. `concerns(config)` is False for networks that do
    not use the field.
    """

    field: str
    value: Any
    reason: str
    concerns: Callable[[DANetConfig], bool] = lambda config: True

    def default(self, config: DANetConfig) -> Any:
        """Return the default for this network."""
        return self.value(config) if callable(self.value) else self.value


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One upstream layout of names.

    source           repository, and the commit or version that the tables come from
    layout           name of the layout if the project has several
    modules          canonical module -> upstream module, for convolutions and BatchNorms
    gammas           canonical tensor -> upstream tensor, for gammas and other factors
    norm_leaves      kind -> upstream leaf of a BatchNorm's tensors; without "count" there is no counter
    order            prefixes of upstream keys in the order of the upstream state dict
    gamma_shape      (1,) or ()
    linear_weights   canonical 1x1 kernels that upstream stores as matrices of linear layers
    tied_modules     canonical module that upstream lacks -> the canonical module that it shares
    absorbed_biases  upstream bias before a BatchNorm -> upstream mean, from which we subtract it
    fixed_config     config fields of all networks of the project
    allowed_config   config field -> possible values, if a project has several
    assumptions      config fields that neither the tensors nor the project determine
    from_metadata    function from the file's metadata, {"meta": ...}, to config fields
    extra_tensors    upstream tensors that the network never uses -> their shape, to fill them with zeros
    notes            lines for the user of any file of the project
    wrap_state_dict  function from tensors and config to the trainer's object; None if there is none
    formats          names of the file formats that upstream code reads
    backbone_only    True if the upstream network has no head
    """

    name: str
    source: str
    layout: str = ""
    modules: Mapping[str, str]
    gammas: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    norm_leaves: Mapping[Kind, str] = field(default_factory=lambda: TORCH_NORM)
    gamma_shape: tuple[int, ...] = (1,)
    linear_weights: frozenset[str] = frozenset()
    tied_modules: Mapping[str, str] = field(default_factory=dict)
    absorbed_biases: Mapping[str, str] = field(default_factory=dict)
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
        """Return the upstream key of a canonical tensor; None if upstream has no such tensor."""
        if parameter.is_factor:
            return self.gammas.get(parameter.name)
        module = self._to_upstream.translate(parameter.name.rpartition(".")[0])
        leaf = (self.norm_leaves if parameter.is_norm else CONVOLUTION).get(parameter.kind)
        return None if module is None or leaf is None else f"{module}.{leaf}"

    def canonical_name(self, key: str) -> str | None:
        """Return the canonical name of an upstream key; None if no table has it."""
        if key in self._gamma_names:
            return self._gamma_names[key]
        module, _, leaf = key.rpartition(".")
        ours = self._from_upstream.translate(module)
        if ours is None:
            return None
        leaves = self._norm_names if NORM.fullmatch(ours) else CONVOLUTION_NAMES
        return f"{ours}.{leaves[leaf]}" if leaf in leaves else None

    def upstream_shape(self, parameter: Parameter) -> tuple[int, ...]:
        """Return the upstream shape of a canonical tensor."""
        if parameter.name in self.linear_weights:
            return parameter.shape[:2]
        return self.gamma_shape if parameter.is_factor else parameter.shape

    def sharing(self, name: str) -> str | None:
        """Return the canonical tensor that a tied module shares; None if it is not tied."""
        module, _, leaf = name.rpartition(".")
        return f"{self.tied_modules[module]}.{leaf}" if module in self.tied_modules else None

    def place(self, key: str) -> int:
        """Return the position of a key's prefix in the upstream order."""
        return next((place for place, start in enumerate(self.order) if key.startswith(start)), len(self.order))

    def allows(self, name: str, value: Any) -> bool:
        """True if networks of the project can have this value of a config field."""
        if name in self.fixed_config:
            return bool(value == self.fixed_config[name])
        return name not in self.allowed_config or value in self.allowed_config[name]

    def owns(self, key: str) -> bool:
        """True if a key is an extra tensor, or of a top-level module of the upstream network."""
        return key in self.extra_tensors or self._tops.fullmatch(key.partition(".")[0]) is not None

    def has_part(self, part: str) -> bool:
        """True if a name of the upstream network has this part between its dots."""
        return self._parts.fullmatch(part) is not None

    @cached_property
    def _tops(self) -> re.Pattern[str]:
        return _pattern({name.partition(".")[0] for name in (*self.modules.values(), *self.gammas.values())})

    @cached_property
    def _parts(self) -> re.Pattern[str]:
        leaves = (*self.norm_leaves.values(), *CONVOLUTION_NAMES, *self.extra_tensors)
        names = (*self.modules.values(), *self.gammas.values(), *leaves)
        return _pattern({part for name in names for part in name.split(".")})

    @cached_property
    def _to_upstream(self) -> _Table:
        return _Table(self.modules)

    @cached_property
    def _from_upstream(self) -> _Table:
        return _Table({theirs: ours for ours, theirs in self.modules.items()})

    @cached_property
    def _gamma_names(self) -> dict[str, str]:
        return {theirs: ours for ours, theirs in self.gammas.items()}

    @cached_property
    def _norm_names(self) -> dict[str, str]:
        return {theirs: TORCH_NORM[kind] for kind, theirs in self.norm_leaves.items()}


CONVOLUTION_NAMES = {leaf: leaf for leaf in CONVOLUTION.values()}


class _Table:
    """One direction of the tables: a dictionary for plain rows, patterns for rows with numbers."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self.plain: dict[str, str] = {}
        self.numbered: list[tuple[re.Pattern[str], list[tuple[str, int]], str]] = []
        for left, right in rows.items():
            if PLACEHOLDER.search(left):
                variables = [(name, int(shift or 0)) for name, shift in PLACEHOLDER.findall(left)]
                self.numbered.append((_pattern([left]), variables, right))
            else:
                self.plain[left] = right

    def translate(self, module: str) -> str | None:
        if module in self.plain:
            return self.plain[module]
        for pattern, variables, right in self.numbered:
            match = pattern.fullmatch(module)
            if match:
                pairs = zip(variables, match.groups(), strict=True)
                values = {(name, int(text) - shift) for (name, shift), text in pairs}
                numbers = dict(values)
                return _fill(right, numbers) if len(numbers) == len(values) else None  # one letter, two values
        return None


def _pattern(templates: Iterable[str]) -> re.Pattern[str]:
    """Return the pattern of all names that the templates stand for."""
    literals = (map(re.escape, PLACEHOLDER.split(template)[::3]) for template in templates)
    return re.compile("|".join(map(NUMBER.join, literals)))


def _fill(template: str, numbers: Mapping[str, int]) -> str:
    """Replace the placeholders of a template by numbers."""
    return PLACEHOLDER.sub(lambda place: str(numbers[place[1]] + int(place[2] or 0)), template)

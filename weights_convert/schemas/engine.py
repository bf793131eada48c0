"""Applying a schema, strictly both ways: every key is used exactly once, every tensor filled exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError, DANetConfig, Parameter, parameters
from danet_common.initialisation import initial_tensor
from weights_convert.infer import BACKBONE_FIELDS, DEEP_WIDTHS, Told, infer
from weights_convert.schemas.schema import Schema
from weights_convert.settings import format_setting

Say = Callable[[str], None]


@dataclass
class Match:
    """A file's keys under a schema. It fits where `faults` is empty.

    keys     canonical name -> the file's key
    told     what the tensors tell of the config
    config   the config before anything that the file cannot tell is set
    faults   missing, unused and misshapen tensors, by the owner's keys
    """

    schema: Schema
    keys: dict[str, str] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    config: DANetConfig = field(default_factory=DANetConfig)
    passengers: list[str] = field(default_factory=list)
    no_counters: bool = False
    faults: list[str] = field(default_factory=list)


def match(schema: Schema, tensors: Mapping[str, np.ndarray]) -> Match:
    """How a file's tensors fit a schema."""
    result = Match(schema)
    unused = []
    for key in tensors:
        name = schema.canonical_name(key)
        if key in schema.passengers:
            result.passengers.append(key)
        elif name is None or name in result.keys:
            unused.append(key)
        else:
            result.keys[name] = key
    shapes = {name: tensors[key].shape for name, key in result.keys.items()}
    result.told = infer(shapes, schema.backbone_only)
    try:
        result.config = _untold_channels(_config(schema, result.told, {}))
    except CheckpointError as error:  # sizes of zero, or no sizes at all
        result.faults.append(str(error))
        return result
    _check(result, tensors, unused)
    return result


def _check(result: Match, tensors: Mapping[str, np.ndarray], unused: Sequence[str]) -> None:
    schema = result.schema
    wanted = {
        name: parameter
        for name, parameter in parameters(result.config).items()
        if not schema.backbone_only or name.startswith("backbone.")
    }
    counters = {name for name, parameter in wanted.items() if parameter.kind == "count"}
    result.no_counters = not counters & result.keys.keys()
    if result.no_counters:
        wanted = {name: parameter for name, parameter in wanted.items() if name not in counters}
    for name, parameter in wanted.items():
        if name not in result.keys:
            result.faults.append(
                f"missing: {schema.owner_name(parameter) or name} {list(schema.owner_shape(parameter))}"
            )
    surplus = [*unused, *(key for name, key in result.keys.items() if name not in wanted)]
    result.faults += [f"unused: {key} {list(tensors[key].shape)}" for key in surplus]
    for name, parameter in wanted.items():
        if name in result.keys:
            result.faults += _misshapen(schema, parameter, result.keys[name], tensors[result.keys[name]])


def _misshapen(schema: Schema, parameter: Parameter, key: str, array: np.ndarray) -> list[str]:
    if array.shape != schema.owner_shape(parameter):
        return [f"misshapen: {key} is {list(array.shape)}, expected {list(schema.owner_shape(parameter))}"]
    whole = parameter.kind == "count"
    if whole != np.issubdtype(array.dtype, np.integer):
        return [f"misshapen: {key} is {array.dtype}, expected {'whole' if whole else 'floating-point'} numbers"]
    return []


def to_canonical(found: Match, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], say: Say) -> Checkpoint:
    """The checkpoint of a file whose keys fit. Raises CheckpointError listing the faults, or a wrong setting."""
    schema = found.schema
    if found.faults:
        listed = "\n  ".join(found.faults)
        raise CheckpointError(f"not a whole checkpoint of schema {schema.name}: {len(found.faults)} faults\n  {listed}")
    told = {name: Told(value.value, found.keys.get(value.tensor, value.tensor)) for name, value in found.told.items()}
    check_settings(told, settings, {key: array.shape for key, array in tensors.items()})
    config = _config(schema, told, settings)
    defaulted = _say_settings(schema, told, config, settings, say)
    config = _untold_channels(config)
    filled = {}
    for name, parameter in parameters(config).items():
        if name in found.keys:
            filled[name] = tensors[found.keys[name]].reshape(parameter.shape)
        else:
            filled[name] = initial_tensor(parameter)
    if found.no_counters:
        say("num_batches_tracked: the file has no counters of batches; filled with 0")
    source: dict[str, Any] = {"schema": schema.name, "repository": schema.source, "defaulted": defaulted}
    if schema.backbone_only:
        say(f"head: a {schema.name} file ends with the backbone; the head is freshly initialised (seed 0)")
        source["backbone_only"] = True
    checkpoint = Checkpoint(config, filled, {key: tensors[key] for key in found.passengers}, source)
    checkpoint.check()
    return checkpoint


def check_settings(
    told: Mapping[str, Told], settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise CheckpointError for a setting that contradicts the tensors, naming both."""
    for name, value in settings.items():
        if name in told and value is not None and value != told[name].value:
            witness = told[name].tensor
            shape = f" ({witness} is {list(shapes[witness])})" if witness in shapes else f" (by {witness})"
            raise CheckpointError(
                f"{name}={format_setting(value)} was set, but the tensors say "
                f"{format_setting(told[name].value)}{shape}; leave the setting out"
            )


def _config(schema: Schema, told: Mapping[str, Told], settings: Mapping[str, Any]) -> DANetConfig:
    fields = {**schema.facts, **{name: value.value for name, value in told.items()}}
    if fields.get("stem") == "deep":
        fields.setdefault("stem_widths", DEEP_WIDTHS)
    try:
        channels = {**fields, **settings}.get("in_channels", 3)
        if channels != 3:  # ImageNet's mean and standard deviation are those of three channels
            fields |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
        config = DANetConfig(**{**fields, **settings})
        return config.replace(
            **{
                untold.field: untold.default(config)
                for untold in schema.untold
                if untold.field not in settings and untold.field not in told
            }
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(str(error)) from None


def _untold_channels(config: DANetConfig) -> DANetConfig:
    """The config with head and query channels left to their defaults where the tensors have just those."""
    for name, actual in (("query_channels", "attention_channels"), ("head_channels", "inner_channels")):
        default = config.replace(**{name: None})
        if getattr(default, actual) == getattr(config, actual):
            config = default
    return config


def _say_settings(
    schema: Schema, told: Mapping[str, Told], config: DANetConfig, settings: Mapping[str, Any], say: Say
) -> dict[str, str]:
    """Print what was taken for the fields that the file cannot tell; return it as field -> text."""
    defaulted = {}
    for untold in schema.untold:
        if untold.field not in settings and untold.field not in told:
            text = defaulted[untold.field] = format_setting(getattr(config, untold.field))
            say(f"{untold.field}={text}: the file cannot tell; {untold.reason} (set it with --set {untold.field}=...)")
    if config.in_channels != 3 and not {"mean", "std"} & settings.keys():
        say(f"mean=0, std=1: the file cannot tell, for {config.in_channels} input channels (change with --set)")
    for name, value in settings.items():
        if name in schema.facts and schema.facts[name] != value:
            theirs = format_setting(schema.facts[name])
            say(f"{name}={format_setting(value)}: as set; {schema.name}'s networks have {theirs}")
    return defaulted


def from_canonical(schema: Schema, checkpoint: Checkpoint, say: Say) -> dict[str, np.ndarray]:
    """A checkpoint's tensors under the owner's keys. Raises CheckpointError where the owner has no such network."""
    faults = [
        f"{name} is {format_setting(getattr(checkpoint.config, name))}, theirs is {format_setting(value)}"
        for name, value in schema.facts.items()
        if getattr(checkpoint.config, name) != value
    ]
    named: dict[str, np.ndarray] = {}
    dropped = 0
    for name, parameter in parameters(checkpoint.config).items():
        key = schema.owner_name(parameter)
        if key is not None:
            named[key] = checkpoint.tensors[name].reshape(schema.owner_shape(parameter))
        elif parameter.kind == "count" or (schema.backbone_only and not name.startswith("backbone.")):
            dropped += 1
        else:
            faults.append(f"no place for {name} {list(parameter.shape)}")
    if faults:
        listed = "\n  ".join(faults)
        raise CheckpointError(f"schema {schema.name} has no such network: {len(faults)} differences\n  {listed}")
    if dropped:
        what = "the head" if schema.backbone_only else "the counters of batches"
        say(f"dropped: {what} ({dropped} tensors), which a {schema.name} file does not have")
    lost = _lost(schema, checkpoint.config, named)
    if lost:
        say(f"a {schema.name} file cannot tell these; set them when it is read again: {' '.join(lost)}")
    return named | _passengers(schema, checkpoint, say)


def _lost(schema: Schema, config: DANetConfig, named: Mapping[str, np.ndarray]) -> list[str]:
    """The fields, as settings, that a reader of the owner's file would take otherwise."""
    taken = _untold_channels(_config(schema, match(schema, named).told, {}))
    lost = []
    for item in fields(DANetConfig):
        mine = getattr(_untold_channels(config), item.name)
        same = mine == getattr(taken, item.name)
        if not same and not (schema.backbone_only and item.name not in BACKBONE_FIELDS):
            lost.append(f"{item.name}={format_setting(mine)}")
    return lost


def _passengers(schema: Schema, checkpoint: Checkpoint, say: Say) -> dict[str, np.ndarray]:
    carried = {key: checkpoint.passengers[key] for key in schema.passengers if key in checkpoint.passengers}
    for key, shape_of in schema.passengers.items():
        if key not in carried:
            carried[key] = np.zeros(shape_of(checkpoint.config), np.float32)
            say(f"{key}: their network has it but never uses it; filled with zeros {list(carried[key].shape)}")
    for key in checkpoint.passengers:
        if key not in carried:
            say(f"dropped: passenger {key}, which schema {schema.name} does not have")
    return carried

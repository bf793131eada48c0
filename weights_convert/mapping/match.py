"""How a file's tensors fit a schema: every key is used exactly once, every tensor filled exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from danet_common import CheckpointError, DANetConfig, Parameter, parameters
from danet_common.config import HINTS
from danet_common.field_types import is_of_type
from weights_convert.contents import Described
from weights_convert.mapping.infer import DEEP_WIDTHS, Inferred, infer
from weights_convert.mapping.schema import Schema
from weights_convert.settings import format_setting

LONGEST_VALUE = 100  # characters, in a message


@dataclass
class Match:
    """A file's keys under a schema. It fits where `faults` is empty.

    keys     canonical name -> the file's key
    told     what the tensors tell of the config
    stated   what the remarks in the file say of it
    config   the config before anything that the file cannot tell is set
    notes    what of the remarks does not fit the tensors
    faults   missing, unused and misshapen tensors, by the owner's keys
    """

    schema: Schema
    keys: dict[str, str] = field(default_factory=dict)
    inferred: dict[str, Inferred] = field(default_factory=dict)
    from_metadata: dict[str, Any] = field(default_factory=dict)
    config: DANetConfig = field(default_factory=DANetConfig)
    extra_tensors: list[str] = field(default_factory=list)
    no_counters: bool = False
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def match(schema: Schema, tensors: Mapping[str, Described], metadata: Mapping[str, Any] | None = None) -> Match:
    """How a file's tensors, and what else it says, fit a schema."""
    result = Match(schema)
    unused = []
    for key in tensors:
        name = schema.canonical_name(key)
        if key in schema.extra_tensors:
            result.extra_tensors.append(key)
        elif key in schema.absorbed_biases:
            continue  # held to its BatchNorm below
        elif name is None or name in result.keys or schema.sharing(name) is not None:
            unused.append(key)
        else:
            result.keys[name] = key
    _share(result)
    shapes = {name: tensors[key].shape for name, key in result.keys.items()}
    result.inferred = infer(shapes, schema.backbone_only)
    try:
        if schema.from_metadata is not None:
            _state(result, schema.from_metadata(metadata or {}))
        result.config = default_channels(config_of(schema, result.inferred, result.from_metadata, {}))
    except CheckpointError as error:  # sizes of zero, no sizes at all, or remarks of another network
        result.errors.append(str(error))
        return result
    _check(result, tensors, unused)
    return result


def config_of(
    schema: Schema, inferred: Mapping[str, Inferred], from_metadata: Mapping[str, Any], settings: Mapping[str, Any]
) -> DANetConfig:
    """The config by the owner's facts, the file's remarks, its tensors and the settings; each has precedence
    over those before it. Raises CheckpointError where they make no network."""
    fields = {**schema.fixed_config, **from_metadata, **{name: value.value for name, value in inferred.items()}}
    if fields.get("stem") == "deep":
        fields.setdefault("stem_widths", DEEP_WIDTHS)
    try:
        channels = {**fields, **settings}.get("in_channels", 3)
        if channels != 3:  # ImageNet's mean and standard deviation are those of three channels
            fields |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
        config = DANetConfig(**{**fields, **settings})
        known = {*settings, *inferred, *from_metadata}
        return config.replace(
            **{
                assumption.field: assumption.default(config)
                for assumption in schema.assumptions
                if assumption.field not in known
            }
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(str(error)) from None


def default_channels(config: DANetConfig) -> DANetConfig:
    """The config with head and query channels left to their defaults where the tensors have just those."""
    for name, actual in (("query_channels", "attention_channels"), ("head_channels", "inner_channels")):
        default = config.replace(**{name: None})
        if getattr(default, actual) == getattr(config, actual):
            config = default
    return config


def _share(result: Match) -> None:
    """Fill the modules that the owner does not have with the keys of those that it uses in their place."""
    for ours, other in result.schema.tied_modules.items():
        for name, key in list(result.keys.items()):
            module, _, leaf = name.rpartition(".")
            if module == other:
                result.keys[f"{ours}.{leaf}"] = key


def _state(result: Match, from_metadata: Mapping[str, Any]) -> None:
    """Take what the remarks say, without names or colours of another number of classes than the tensors have."""
    wrong = [
        f"{name}={value!r}"[:LONGEST_VALUE]
        for name, value in from_metadata.items()
        if not is_of_type(value, HINTS[name])
    ]
    if wrong:
        raise CheckpointError(f"the file says {', '.join(wrong)}, which no config has")
    result.from_metadata = dict(from_metadata)
    classes = result.inferred.get("num_classes")
    for name in ("class_names", "palette"):
        if classes is not None and name in from_metadata and len(from_metadata[name]) != classes.value:
            del result.from_metadata[name]
            result.notes.append(
                f"{name}: the file has {len(from_metadata[name])} for {classes.value} classes; left out"
            )


def _check(result: Match, tensors: Mapping[str, Described], unused: Sequence[str]) -> None:
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
        if name not in result.keys and schema.sharing(name) is None:
            result.errors.append(
                f"missing: {schema.upstream_name(parameter) or name} {list(schema.upstream_shape(parameter))}"
            )
    surplus = [*unused, *(key for name, key in result.keys.items() if name not in wanted)]
    result.errors += [f"unused: {key} {list(tensors[key].shape)}" for key in surplus]
    for name, parameter in wanted.items():
        if name in result.keys and schema.sharing(name) is None:
            result.errors += _wrong_shape(schema, parameter, result.keys[name], tensors[result.keys[name]])
    result.errors += _wrong_biases(schema, tensors)
    result.errors += [
        f"{name} is {format_setting(inferred.value)} (by {result.keys.get(inferred.tensor, inferred.tensor)}), "
        f"which {schema.name} networks never have"
        for name, inferred in result.inferred.items()
        if not schema.allows(name, inferred.value)
    ]


def _wrong_shape(schema: Schema, parameter: Parameter, key: str, array: Described) -> list[str]:
    if array.shape != schema.upstream_shape(parameter):
        return [f"wrong shape: {key} is {list(array.shape)}, expected {list(schema.upstream_shape(parameter))}"]
    whole = parameter.kind == "count"
    if not (_is_whole(array) if whole else _is_floating(array)):
        return [f"wrong dtype: {key} is {array.dtype}, expected {'whole' if whole else 'floating-point'} numbers"]
    return []


def _is_whole(array: Described) -> bool:
    return array.dtype.kind in "iu"


def _is_floating(array: Described) -> bool:
    return array.dtype.kind in "fV"  # bfloat16 is of the second; a text is neither


def _wrong_biases(schema: Schema, tensors: Mapping[str, Described]) -> list[str]:
    """Biases that are missing beside their BatchNorm, or are not of its shape."""
    errors = []
    for bias, mean in schema.absorbed_biases.items():
        shape = tensors[mean].shape if mean in tensors else None
        if bias not in tensors and shape is not None:
            errors.append(f"missing: {bias} {list(shape)}")
        elif bias in tensors and shape is None:
            errors.append(f"unused: {bias} {list(tensors[bias].shape)}")
        elif bias in tensors and (tensors[bias].shape != shape or not _is_floating(tensors[bias])):
            found = f"{tensors[bias].dtype} {list(tensors[bias].shape)}"
            errors.append(f"wrong shape: {bias} is {found}, expected floating-point numbers {list(shape or ())}")
    return errors

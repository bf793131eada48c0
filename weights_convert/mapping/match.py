"""Match a file's tensors with a schema: use every key exactly once, fill every tensor exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from danet_common import CheckpointError, DANetConfig, Parameter, parameters
from danet_common.config.network import HINTS
from danet_common.config.typed_json import has_type
from weights_convert.contents import Described
from weights_convert.mapping.infer import DEEP_WIDTHS, Inferred, infer
from weights_convert.mapping.schema import Schema
from weights_convert.settings import format_setting

LONGEST_VALUE = 100  # characters in a message
FLOATING = "fV"  # kinds of dtypes; bfloat16 is V


@dataclass
class Match:
    """Keys of a file under a schema. The schema fits if `errors` is empty.

    keys           canonical name -> key in the file
    inferred       config fields that the tensors determine
    from_metadata  config fields that the file's metadata has
    config         config with defaults for all other fields
    notes          lines about metadata that do not fit the tensors
    errors         missing and unused tensors, and wrong shapes, by upstream key
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
    """Match tensors and metadata of a file with a schema."""
    result = Match(schema)
    unused = []
    for key in tensors:
        name = schema.canonical_name(key)
        if key in schema.extra_tensors:
            result.extra_tensors.append(key)
        elif key in schema.absorbed_biases:
            continue  # checked by _wrong_biases
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
    except CheckpointError as error:  # sizes of zero, no sizes, or metadata of another network
        result.errors.append(str(error))
        return result
    _check(result, tensors, unused)
    return result


def config_of(
    schema: Schema, inferred: Mapping[str, Inferred], from_metadata: Mapping[str, Any], settings: Mapping[str, Any]
) -> DANetConfig:
    """Return the config. Precedence rises from fixed_config over metadata and tensors to settings.

    Raise CheckpointError if they contradict each other.
    """
    fields = {**schema.fixed_config, **from_metadata, **{name: value.value for name, value in inferred.items()}}
    if fields.get("stem") == "deep":
        fields.setdefault("stem_widths", DEEP_WIDTHS)
    try:
        channels = {**fields, **settings}.get("in_channels", 3)
        if channels != 3:  # ImageNet's mean and std are for three channels
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
    """Set head and query channels to None if they equal their defaults."""
    for name, actual in (("query_channels", "attention_channels"), ("head_channels", "inner_channels")):
        default = config.replace(**{name: None})
        if getattr(default, actual) == getattr(config, actual):
            config = default
    return config


def _share(result: Match) -> None:
    """Fill tied modules with the keys of the modules that they share."""
    for ours, shared in result.schema.tied_modules.items():
        for name, key in list(result.keys.items()):
            module, _, leaf = name.rpartition(".")
            if module == shared:
                result.keys[f"{ours}.{leaf}"] = key


def _state(result: Match, from_metadata: Mapping[str, Any]) -> None:
    """Take the metadata; drop class names and colours if their number differs from the tensors' classes."""
    wrong = [
        f"{name}={value!r}"[:LONGEST_VALUE] for name, value in from_metadata.items() if not has_type(value, HINTS[name])
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
    expected = {
        name: parameter
        for name, parameter in parameters(result.config).items()
        if not schema.backbone_only or name.startswith("backbone.")
    }
    counters = {name for name, parameter in expected.items() if parameter.kind == "count"}
    result.no_counters = not counters & result.keys.keys()
    if result.no_counters:
        expected = {name: parameter for name, parameter in expected.items() if name not in counters}
    for name, parameter in expected.items():
        if name not in result.keys and schema.sharing(name) is None:
            result.errors.append(
                f"missing: {schema.upstream_name(parameter) or name} {list(schema.upstream_shape(parameter))}"
            )
    surplus = [*unused, *(key for name, key in result.keys.items() if name not in expected)]
    result.errors += [f"unused: {key} {list(tensors[key].shape)}" for key in surplus]
    for name, parameter in expected.items():
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
    kinds, numbers = ("iu", "whole") if parameter.kind == "count" else (FLOATING, "floating-point")
    if array.dtype.kind not in kinds:
        return [f"wrong dtype: {key} is {array.dtype}, expected {numbers} numbers"]
    return []


def _wrong_biases(schema: Schema, tensors: Mapping[str, Described]) -> list[str]:
    """Return errors about absorbed biases: missing, unused or of another shape than their BatchNorm."""
    errors = []
    for bias, mean in schema.absorbed_biases.items():
        shape = tensors[mean].shape if mean in tensors else None
        if bias not in tensors and shape is not None:
            errors.append(f"missing: {bias} {list(shape)}")
        elif bias in tensors and shape is None:
            errors.append(f"unused: {bias} {list(tensors[bias].shape)}")
        elif bias in tensors and (tensors[bias].shape != shape or tensors[bias].dtype.kind not in FLOATING):
            actual = f"{tensors[bias].dtype} {list(tensors[bias].shape)}"
            errors.append(f"wrong shape: {bias} is {actual}, expected floating-point numbers {list(shape or ())}")
    return errors

"""Apply a schema: tensors of a file to the canonical checkpoint, and back to upstream keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError, DANetConfig, parameters
from danet_common.numerics.initialisation import initial_tensor
from danet_common.text import pluralise
from weights_convert.mapping.infer import BACKBONE_FIELDS, Inferred
from weights_convert.mapping.match import Match, config_of, default_channels, match
from weights_convert.mapping.schema import Schema
from weights_convert.settings import format_setting

Log = Callable[[str], None]

SETS = "danet convert --set {}=... sets it"

# Config fields of the backbone, inferred or not.
BACKBONES_OWN = (
    *BACKBONE_FIELDS,
    "avg_down",
    "avg_down_dilated",
    "output_stride",
    "multi_grid",
    "contract_dilation",
    "mean",
    "std",
    "batch_norm_epsilon",
)


def to_canonical(
    matched: Match, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], log: Log
) -> Checkpoint:
    """Return the checkpoint of a matched file. Raise CheckpointError for errors of the match or a wrong setting."""
    schema = matched.schema
    if matched.errors:
        listed = "\n  ".join(matched.errors)
        count = pluralise(len(matched.errors), "error")
        raise CheckpointError(f"incomplete checkpoint of schema {schema.name}: {count}\n  {listed}")
    keys = matched.keys
    inferred = {
        name: Inferred(value.value, keys.get(value.tensor, value.tensor)) for name, value in matched.inferred.items()
    }
    check_settings(inferred, settings, {key: array.shape for key, array in tensors.items()})
    config = config_of(schema, inferred, matched.from_metadata, settings)
    for note in (*matched.notes, *schema.notes):
        log(note)
    defaulted = _log_settings(schema, matched, config, settings, log)
    config = default_channels(config)
    table = parameters(config)
    filled = {
        name: tensors[keys[name]].reshape(parameter.shape) if name in keys else initial_tensor(name, table)
        for name, parameter in table.items()
    }
    filled |= _absorb_biases(matched, tensors, log)
    if matched.no_counters:
        log("num_batches_tracked: missing from the file; filled with 0")
    source: dict[str, Any] = {"schema": schema.name, "repository": schema.source, "defaulted": defaulted}
    if schema.layout:
        source["layout"] = schema.layout
    if schema.backbone_only:
        log(f"head: {schema.name} files have no head; the head is freshly initialised (seed 0)")
        source["backbone_only"] = True
    checkpoint = Checkpoint(config, filled, {key: tensors[key] for key in matched.extra_tensors}, source)
    checkpoint.check()
    return checkpoint


def check_settings(
    inferred: Mapping[str, Inferred], settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise CheckpointError for a setting that contradicts the tensors; name both."""
    for name, value in settings.items():
        if name not in inferred or value is None:
            continue
        theirs = inferred[name].value
        if sorted(value) != sorted(theirs) if name == "context" else value != theirs:  # tensors have no order
            witness = inferred[name].tensor
            shape = f" ({witness} is {list(shapes[witness])})" if witness in shapes else f" (by {witness})"
            raise CheckpointError(
                f"{name}={format_setting(value)} was set, but the tensors say "
                f"{format_setting(theirs)}{shape}; remove the setting"
            )


def _absorb_biases(matched: Match, tensors: Mapping[str, np.ndarray], log: Log) -> dict[str, np.ndarray]:
    """Return BatchNorm means minus the bias of the convolution before them.

    float64 holds the difference of two float32 numbers of similar size exactly.
    """
    names = {key: name for name, key in matched.keys.items()}
    means = {}
    for bias, mean in matched.schema.absorbed_biases.items():
        if tensors[bias].any():
            means[names[mean]] = tensors[mean].astype(np.float64) - tensors[bias].astype(np.float64)
    if means:
        count = pluralise(len(means), "convolution")
        log(f"absorbed: the biases of {count} into the BatchNorm means after them, exactly, in float64")
    return means


def _log_settings(
    schema: Schema, matched: Match, config: DANetConfig, settings: Mapping[str, Any], log: Log
) -> dict[str, str]:
    """Log and return the defaults of fields that the file does not determine: field -> text."""
    defaulted, determined = {}, {*settings, *matched.inferred, *matched.from_metadata}
    for assumption in schema.assumptions:
        if assumption.concerns(config) and assumption.field not in determined:
            field = assumption.field
            text = defaulted[field] = format_setting(getattr(config, field))
            log(f"{field}={text}: the file does not determine it; {assumption.reason} ({SETS.format(field)})")
    if len(config.context) > 1 and config.decoder == "gating" and "context" not in {**schema.fixed_config, **settings}:
        text = defaulted["context"] = format_setting(config.context)
        log(f"context={text}: the file does not determine the order of the branches ({SETS.format('context')})")
    if config.in_channels != 3 and not {"mean", "std"} & {*settings, *defaulted}:
        advice = "danet convert --set sets them"
        log(f"mean=0, std=1: the file does not determine them for {config.in_channels} input channels ({advice})")
    for name, value in settings.items():
        if not schema.allows(name, value):
            log(f"{name}={format_setting(value)}: as set; {schema.name}'s networks have {_choices(schema, name)}")
        elif name in matched.from_metadata and matched.from_metadata[name] != value:
            log(f"{name}={format_setting(value)}: as set; the file says {format_setting(matched.from_metadata[name])}")
    return defaulted


def _choices(schema: Schema, name: str) -> str:
    """Return the values of a config field that networks of the schema have, for a message."""
    return " or ".join(map(format_setting, schema.allowed_config.get(name, (schema.fixed_config.get(name),))))


def layout_for(layouts: Sequence[Schema], checkpoint: Checkpoint) -> Schema:
    """Choose a layout of the schema: that of the checkpoint's origin, else the first that can hold it."""
    came_in = (checkpoint.source.get("schema"), checkpoint.source.get("layout", ""))
    remembered = [schema for schema in layouts if (schema.name, schema.layout) == came_in]
    return min([*remembered, *layouts], key=lambda schema: len(differences(schema, checkpoint)))


def differences(schema: Schema, checkpoint: Checkpoint) -> list[str]:
    """Return reasons why the schema cannot hold this network; [] if it can."""
    config, tensors = checkpoint.config, checkpoint.tensors
    errors = []
    for name in {**schema.fixed_config, **schema.allowed_config}:
        value = getattr(config, name)
        if not schema.allows(name, value):
            errors.append(f"{name} is {format_setting(value)}, theirs is {_choices(schema, name)}")
    for name, parameter in parameters(config).items():
        shared = schema.sharing(name)
        if shared is not None:
            if shared not in tensors or tensors[name].tobytes() != tensors[shared].tobytes():
                errors.append(f"{name} differs from {shared}, but theirs has one tensor for both")
        elif schema.upstream_name(parameter) is None and not (
            parameter.kind == "count" or (schema.backbone_only and not name.startswith("backbone."))
        ):
            errors.append(f"no place for {name} {list(parameter.shape)}")
    return errors


def from_canonical(schema: Schema, checkpoint: Checkpoint, log: Log, wrapped: bool = True) -> dict[str, np.ndarray]:
    """Return a checkpoint's tensors under upstream keys.

    wrapped  True if the file gets the trainer's object, with its metadata, around the state dict

    Raise CheckpointError if the schema cannot hold the network.
    """
    errors = differences(schema, checkpoint)
    if errors:
        listed = "\n  ".join(errors)
        count = pluralise(len(errors), "difference")
        raise CheckpointError(f"schema {schema.name} has no such network: {count}\n  {listed}")
    named: dict[str, np.ndarray] = {}
    dropped = 0
    for name, parameter in parameters(checkpoint.config).items():
        key = schema.upstream_name(parameter)
        if key is not None:
            named[key] = checkpoint.tensors[name].reshape(schema.upstream_shape(parameter))
        else:
            dropped += schema.sharing(name) is None
    if dropped:
        what = "the head" if schema.backbone_only else "the counters of batches"
        log(f"dropped: {what} ({pluralise(dropped, 'tensor')}); {schema.name} files do not have it")
    lost = _lost(schema, checkpoint.config, named, wrapped)
    if lost:
        log(f"{schema.name} files do not store these settings; set them when reading the file: {' '.join(lost)}")
    named |= _unfolded(schema, named, log)
    named |= _extra_tensors(schema, checkpoint, log)
    return dict(sorted(named.items(), key=lambda item: schema.place(item[0])))


def _lost(schema: Schema, config: DANetConfig, named: Mapping[str, np.ndarray], wrapped: bool) -> list[str]:
    """Return the settings that a reader of the upstream file cannot recover."""
    metadata = schema.wrap_state_dict(named, config) if schema.wrap_state_dict and wrapped else None
    matched = match(schema, named, metadata)
    taken = default_channels(config_of(schema, matched.inferred, matched.from_metadata, {}))
    names = BACKBONES_OWN if schema.backbone_only else [item.name for item in fields(DANetConfig)]
    mine = default_channels(config)
    return [
        f"{name}={format_setting(getattr(mine, name))}" for name in names if getattr(mine, name) != getattr(taken, name)
    ]


def _unfolded(schema: Schema, named: Mapping[str, np.ndarray], log: Log) -> dict[str, np.ndarray]:
    """Return zero biases, and the means that contain the biases, in the dtype of the variance."""
    tensors: dict[str, np.ndarray] = {}
    for bias, mean in schema.absorbed_biases.items():
        if mean in named:
            dtype = named[mean.rpartition(".")[0] + "." + schema.norm_leaves["variance"]].dtype
            tensors |= {bias: np.zeros(named[mean].shape, dtype), mean: named[mean].astype(dtype)}
    if tensors:
        log(f"the biases of {len(schema.absorbed_biases)} convolutions are 0: the next means contain them, rounded")
    return tensors


def _extra_tensors(schema: Schema, checkpoint: Checkpoint, log: Log) -> dict[str, np.ndarray]:
    carried = {key: checkpoint.extra_tensors[key] for key in schema.extra_tensors if key in checkpoint.extra_tensors}
    for key, shape_of in schema.extra_tensors.items():
        if key not in carried:
            carried[key] = np.zeros(shape_of(checkpoint.config), np.float32)
            log(f"{key}: the upstream network has it but never uses it; filled with zeros {list(carried[key].shape)}")
    for key in checkpoint.extra_tensors:
        if key not in carried:
            log(f"dropped: extra tensor {key}; schema {schema.name} does not have it")
    return carried

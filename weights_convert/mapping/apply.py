"""Applying a schema: from a file's tensors to the canonical checkpoint, and back to the owner's keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError, DANetConfig, parameters
from danet_common.initialisation import initial_tensor
from danet_common.wording import counted
from weights_convert.mapping.infer import BACKBONE_FIELDS, Told
from weights_convert.mapping.match import Match, config_of, match, untold_channels
from weights_convert.mapping.schema import Schema
from weights_convert.settings import format_setting

Say = Callable[[str], None]

SETS = "danet convert --set {}=... sets it"

# Fields that have a part in a backbone, whether a file can tell them or not.
BACKBONES_OWN = (
    *BACKBONE_FIELDS,
    "avg_down",
    "output_stride",
    "multi_grid",
    "contract_dilation",
    "mean",
    "std",
    "batch_norm_epsilon",
)


def to_canonical(found: Match, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], say: Say) -> Checkpoint:
    """The checkpoint of a file whose keys fit. Raises CheckpointError listing the faults, or a wrong setting."""
    schema = found.schema
    if found.faults:
        listed = "\n  ".join(found.faults)
        count = counted(len(found.faults), "fault")
        raise CheckpointError(f"not a whole checkpoint of schema {schema.name}: {count}\n  {listed}")
    told = {name: Told(value.value, found.keys.get(value.tensor, value.tensor)) for name, value in found.told.items()}
    check_settings(told, settings, {key: array.shape for key, array in tensors.items()})
    config = config_of(schema, told, found.stated, settings)
    for note in (*found.notes, *schema.notes):
        say(note)
    defaulted = _say_settings(schema, found, config, settings, say)
    config = untold_channels(config)
    filled = {}
    table = parameters(config)
    for name, parameter in table.items():
        if name in found.keys:
            filled[name] = tensors[found.keys[name]].reshape(parameter.shape)
        else:
            filled[name] = initial_tensor(name, table)
    filled |= _folded(found, tensors, say)
    if found.no_counters:
        say("num_batches_tracked: the file has no counters of batches; filled with 0")
    source: dict[str, Any] = {"schema": schema.name, "repository": schema.source, "defaulted": defaulted}
    if schema.layout:
        source["layout"] = schema.layout
    if schema.backbone_only:
        say(f"head: {schema.name} files end with the backbone; the head is freshly initialised (seed 0)")
        source["backbone_only"] = True
    checkpoint = Checkpoint(config, filled, {key: tensors[key] for key in found.passengers}, source)
    checkpoint.check()
    return checkpoint


def check_settings(
    told: Mapping[str, Told], settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise CheckpointError for a setting that contradicts the tensors, naming both."""
    for name, value in settings.items():
        if name in told and value is not None and not _agree(name, value, told[name].value):
            witness = told[name].tensor
            shape = f" ({witness} is {list(shapes[witness])})" if witness in shapes else f" (by {witness})"
            raise CheckpointError(
                f"{name}={format_setting(value)} was set, but the tensors say "
                f"{format_setting(told[name].value)}{shape}; leave the setting out"
            )


def _agree(name: str, setting: Any, told: Any) -> bool:
    """Whether a setting is what the tensors tell, which of two branches is not the order."""
    return bool(sorted(setting) == sorted(told) if name == "context" else setting == told)


def _folded(found: Match, tensors: Mapping[str, np.ndarray], say: Say) -> dict[str, np.ndarray]:
    """BatchNorm means less the bias of the convolution before them.

    In float64, where the difference of two float32 numbers of similar size is exact.
    """
    names = {key: name for name, key in found.keys.items()}
    means = {}
    for bias, mean in found.schema.folded.items():
        if tensors[bias].any():
            means[names[mean]] = tensors[mean].astype(np.float64) - tensors[bias].astype(np.float64)
    if means:
        count = counted(len(means), "convolution")
        say(f"folded: the biases of {count} into the means after them, kept exactly in float64")
    return means


def _say_settings(
    schema: Schema, found: Match, config: DANetConfig, settings: Mapping[str, Any], say: Say
) -> dict[str, str]:
    """Print what was taken for the fields that the file cannot tell; return it as field -> text."""
    defaulted = {}
    for untold in schema.untold:
        if untold.concerns(config) and untold.field not in {*settings, *found.told, *found.stated}:
            text = defaulted[untold.field] = format_setting(getattr(config, untold.field))
            say(f"{untold.field}={text}: the file cannot tell; {untold.reason} ({SETS.format(untold.field)})")
    if len(config.context) > 1 and config.decoder == "gating" and "context" not in {**schema.facts, **settings}:
        text = defaulted["context"] = format_setting(config.context)
        say(f"context={text}: the file cannot tell in which order the decoder joins them ({SETS.format('context')})")
    if config.in_channels != 3 and not {"mean", "std"} & {*settings, *defaulted}:
        advice = "danet convert --set sets them"
        say(f"mean=0, std=1: the file cannot tell, for {config.in_channels} input channels ({advice})")
    for name, value in settings.items():
        if not schema.allows(name, value):
            theirs = " or ".join(map(format_setting, schema.choices.get(name, (schema.facts.get(name),))))
            say(f"{name}={format_setting(value)}: as set; {schema.name}'s networks have {theirs}")
        elif name in found.stated and found.stated[name] != value:
            say(f"{name}={format_setting(value)}: as set; the file says {format_setting(found.stated[name])}")
    return defaulted


def layout_for(layouts: Sequence[Schema], checkpoint: Checkpoint) -> Schema:
    """Of an owner's layouts, the one that the checkpoint came in, else the first that can hold it."""
    came_in = (checkpoint.source.get("schema"), checkpoint.source.get("layout", ""))
    remembered = [schema for schema in layouts if (schema.name, schema.layout) == came_in]
    return min([*remembered, *layouts], key=lambda schema: len(differences(schema, checkpoint)))


def differences(schema: Schema, checkpoint: Checkpoint) -> list[str]:
    """Why the owner has no such network; empty where it has."""
    config, tensors = checkpoint.config, checkpoint.tensors
    faults = []
    for name in {**schema.facts, **schema.choices}:
        value = getattr(config, name)
        if not schema.allows(name, value):
            theirs = " or ".join(map(format_setting, schema.choices.get(name, (schema.facts.get(name),))))
            faults.append(f"{name} is {format_setting(value)}, theirs is {theirs}")
    for name, parameter in parameters(config).items():
        other = schema.sharing(name)
        if other is not None:
            if other not in tensors or tensors[name].tobytes() != tensors[other].tobytes():
                faults.append(f"{name} differs from {other}, and theirs has one tensor for both")
        elif schema.owner_name(parameter) is None and not _droppable(schema, name, parameter.kind):
            faults.append(f"no place for {name} {list(parameter.shape)}")
    return faults


def _droppable(schema: Schema, name: str, kind: str) -> bool:
    return kind == "count" or (schema.backbone_only and not name.startswith("backbone."))


def from_canonical(schema: Schema, checkpoint: Checkpoint, say: Say, wrapped: bool = True) -> dict[str, np.ndarray]:
    """A checkpoint's tensors under the owner's keys, in the owner's order.

    wrapped  whether the owner's object, and what it says, will be around them in the file

    Raises CheckpointError where the owner has no such network.
    """
    faults = differences(schema, checkpoint)
    if faults:
        listed = "\n  ".join(faults)
        count = counted(len(faults), "difference")
        raise CheckpointError(f"schema {schema.name} has no such network: {count}\n  {listed}")
    named: dict[str, np.ndarray] = {}
    dropped = 0
    for name, parameter in parameters(checkpoint.config).items():
        key = schema.owner_name(parameter)
        if key is not None:
            named[key] = checkpoint.tensors[name].reshape(schema.owner_shape(parameter))
        else:
            dropped += schema.sharing(name) is None
    if dropped:
        what = "the head" if schema.backbone_only else "the counters of batches"
        say(f"dropped: {what} ({counted(dropped, 'tensor')}), which {schema.name} files do not have")
    lost = _lost(schema, checkpoint.config, named, wrapped)
    if lost:
        say(f"{schema.name} files cannot tell these; set them when it is read again: {' '.join(lost)}")
    named |= _unfolded(schema, named, say)
    named |= _passengers(schema, checkpoint, say)
    return dict(sorted(named.items(), key=lambda item: schema.place(item[0])))


def _lost(schema: Schema, config: DANetConfig, named: Mapping[str, np.ndarray], wrapped: bool) -> list[str]:
    """The fields, as settings, that a reader of the owner's file would take otherwise."""
    found = match(schema, named, schema.wrap(named, config) if schema.wrap and wrapped else None)
    taken = untold_channels(config_of(schema, found.told, found.stated, {}))
    lost = []
    for item in fields(DANetConfig):
        mine = getattr(untold_channels(config), item.name)
        same = mine == getattr(taken, item.name)
        if not same and not (schema.backbone_only and item.name not in BACKBONES_OWN):
            lost.append(f"{item.name}={format_setting(mine)}")
    return lost


def _unfolded(schema: Schema, named: Mapping[str, np.ndarray], say: Say) -> dict[str, np.ndarray]:
    """Biases of zero before the BatchNorms whose means already have them in, in the precision of the others."""
    tensors: dict[str, np.ndarray] = {}
    for bias, mean in schema.folded.items():
        if mean in named:
            dtype = named[mean.rpartition(".")[0] + "." + schema.norm_leaves["variance"]].dtype
            tensors |= {bias: np.zeros(named[mean].shape, dtype), mean: named[mean].astype(dtype)}
    if tensors:
        say(f"the biases of {len(schema.folded)} convolutions are 0: the means after them have them in, rounded")
    return tensors


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

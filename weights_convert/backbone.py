"""Start training from the trained backbone of a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig
from weights_convert.mapping.infer import BACKBONE_FIELDS
from weights_convert.read import read
from weights_convert.settings import format_setting
from weights_convert.weight_sets.choose import about_sets

PREFIX = "backbone."
SHAPING = (*BACKBONE_FIELDS, "avg_down")  # fields that must equal those of the trained backbone
SCALING = ("mean", "std", "batch_norm_epsilon")  # fields that should be equal


def fill_backbone(
    config: DANetConfig,
    tensors: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> dict[str, np.ndarray]:
    """Return a network's tensors with the backbone replaced by a file's, bit for bit and in the file's dtype.

    tensors      canonical name -> array, as `initial_tensors` draws them; the head stays unchanged
    path         a ResNet of torchvision, timm, mmseg or PaddleSeg, or any DANet, in any format of `read`
    report       called with each line about tensors taken or dropped, and about other training settings
    weights_key  the set of weights to take if the file has several

    Raise CheckpointError, naming the file, if it cannot be read completely or has another backbone. The error
    then lists the differing fields, and the variant that fits.
    """
    chosen: list[str] = []
    source = read(path, report=chosen.append, weights_key=weights_key)
    backbone = {name: array for name, array in source.tensors.items() if name.startswith(PREFIX)}
    differing = _differing(config, source.config)
    if not differing and backbone.keys() != {name for name in tensors if name.startswith(PREFIX)}:
        differing = ["output_stride"]  # only this field can still add or remove a shortcut convolution
    if differing:
        theirs, ours = _settings(source.config, differing), _settings(config, differing)
        raise CheckpointError(
            f"{path}: backbone does not fit: the file has {theirs}, the network {ours}. Use {_nearest(source.config)}"
        )
    if report is not None:
        for line in [*filter(about_sets, chosen), *_lines(config, source, Path(path).name, len(backbone))]:
            report(line)
    return {**tensors, **backbone}


def _differing(first: DANetConfig, second: DANetConfig) -> list[str]:
    """Return the fields that make the shapes of two backbones differ."""
    return [name for name in SHAPING if getattr(first, name) != getattr(second, name)]


def _settings(config: DANetConfig, names: list[str]) -> str:
    """Return these fields of a config as settings."""
    return " ".join(f"{name}={format_setting(getattr(config, name))}" for name in names)


def _nearest(config: DANetConfig) -> str:
    """Return the variant that has this backbone, with settings if it needs them."""
    name = min(VARIANTS, key=lambda name: len(_differing(VARIANTS[name], config)))
    settings = _differing(VARIANTS[name], config)
    return f"{name} with {_settings(config, settings)}" if settings else name


def _lines(config: DANetConfig, source: Checkpoint, file: str, count: int) -> list[str]:
    """Return lines for the user: tensors taken and dropped, and settings that differ."""
    lines = [f"backbone: {count} tensors of {file}"]
    if source.source.get("backbone_only"):
        lines += [f"dropped: {key}, of the file's classifier" for key in sorted(source.extra_tensors)]
    else:
        lines += [f"dropped: the rest of the file, {len(source.tensors) + len(source.extra_tensors) - count} tensors"]
    return lines + [
        f"{_settings(source.config, [name])}: of its training; the network has {_settings(config, [name])}"
        for name in SCALING
        if getattr(source.config, name) != getattr(config, name)
    ]

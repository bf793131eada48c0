"""A trained backbone in the place of the one that was drawn: what training starts from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig
from weights_convert.mapping.infer import BACKBONE_FIELDS
from weights_convert.read import read
from weights_convert.settings import format_setting
from weights_convert.weight_sets.report import about_sets

PREFIX = "backbone."
SHAPING = (*BACKBONE_FIELDS, "avg_down")  # fields that must be as the backbone was trained
SCALING = ("mean", "std", "batch_norm_epsilon")  # fields that should be


def fill_backbone(
    config: DANetConfig,
    tensors: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> dict[str, np.ndarray]:
    """A network's tensors with the backbone of a file among them, bit for bit and in the file's dtype.

    tensors      canonical name -> array: all of the network's, as `initial_tensors` draws them; the head stays as it is
    path         a ResNet of torchvision, timm, mmseg or PaddleSeg, or any DANet, in any format that `read` knows
    report       called with each line about what was taken, dropped, left out, or trained otherwise
    weights_key  which set of weights of the file to take, where it has several

    Raises CheckpointError, naming the file, where it cannot be read whole, and where its backbone is of another
    network: with the fields in which they differ, and the variant that has it.
    """
    chosen: list[str] = []
    found = read(path, report=chosen.append, weights_key=weights_key)
    backbone = {name: array for name, array in found.tensors.items() if name.startswith(PREFIX)}
    differing = _differing(config, found.config)
    if not differing and backbone.keys() != {name for name in tensors if name.startswith(PREFIX)}:
        differing = ["output_stride"]  # nothing else is left to make a shortcut's convolution needed
    if differing:
        theirs, ours = _settings(found.config, differing), _settings(config, differing)
        raise CheckpointError(
            f"{path}: its backbone has {theirs}, the network {ours}; it fits {_nearest(found.config)}"
        )
    if report is not None:
        for line in [*filter(about_sets, chosen), *_lines(config, found, Path(path).name, len(backbone))]:
            report(line)
    return {**tensors, **backbone}


def _differing(one: DANetConfig, other: DANetConfig) -> list[str]:
    """The fields in which two networks' backbones have another shape."""
    return [name for name in SHAPING if getattr(one, name) != getattr(other, name)]


def _settings(config: DANetConfig, names: list[str]) -> str:
    """These fields of a config, as settings."""
    return " ".join(f"{name}={format_setting(getattr(config, name))}" for name in names)


def _nearest(config: DANetConfig) -> str:
    """The variant that has this backbone, or will with these settings."""
    name = min(VARIANTS, key=lambda name: len(_differing(VARIANTS[name], config)))
    settings = _differing(VARIANTS[name], config)
    return f"{name} with {_settings(config, settings)}" if settings else name


def _lines(config: DANetConfig, found: Checkpoint, file: str, count: int) -> list[str]:
    """What a user should know."""
    lines = [f"backbone: {count} tensors of {file}"]
    if found.source.get("backbone_only"):
        lines += [f"dropped: {key}, of the file's classifier" for key in sorted(found.extra_tensors)]
    else:
        lines += [f"dropped: all else in the file, {len(found.tensors) + len(found.extra_tensors) - count} tensors"]
    for name in SCALING:
        if getattr(found.config, name) != getattr(config, name):
            lines += [
                f"{_settings(found.config, [name])}: as the backbone was trained; here {_settings(config, [name])}"
            ]
    return lines

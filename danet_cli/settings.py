"""Parse `--set` and protocol options, and describe a config in one line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, get_type_hints

import typer

from danet_common import DANetConfig
from danet_common.config.former_arguments import FORMER_FIELDS
from danet_common.config.network import FROM_THE_DATA
from danet_common.config.recipe import TrainConfig
from danet_common.data import Augmentation
from danet_common.data.label_settings import LabelMap, LabelSettings, parse_label_map
from danet_common.data.resizing import Size
from danet_common.evaluation.protocols import default_stride
from weights_convert.settings import parse_as

COUNTED = ("class_names", "palette")  # long: a summary gives their length
ALWAYS = ("block", "layers", "output_stride", "multi_grid", "num_classes")  # in a summary

Changes = dict[str, Any]


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Return `["multi_grid=1,2,4"]` as field -> text, without checking fields and values."""
    settings = {}
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals or not field:
            raise typer.BadParameter(f"--set takes FIELD=VALUE; got {assignment!r}")
        settings[field.strip()] = value
    return settings


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Return `"97x129"` as height and width."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text.strip().lower())
    if not match:
        raise typer.BadParameter(f"{option} takes HEIGHTxWIDTH in pixels, such as 256x512; got {text!r}")
    return int(match[1]), int(match[2])


def training_settings(assignments: Sequence[str]) -> tuple[Changes, Changes, Changes, Changes]:
    """Return what `--set` changes in the config, the recipe, the augmentation and the label settings."""
    hints = [get_type_hints(owner) for owner in (DANetConfig, TrainConfig, Augmentation, LabelSettings)]
    changes: tuple[Changes, Changes, Changes, Changes] = ({}, {}, {}, {})
    for field, text in parse_assignments(assignments).items():
        if field in FROM_THE_DATA:
            raise typer.BadParameter(f"--set {field}: it comes from the data set")
        if field in FORMER_FIELDS:
            raise typer.BadParameter(f"--set {field}: the field is {FORMER_FIELDS[field]} now")
        owner = next((index for index, fields in enumerate(hints) if field in fields), None)
        if owner is None:
            raise unknown_field(field, [name for fields in hints for name in fields if name not in FROM_THE_DATA])
        changes[owner][field] = parse_value(hints[owner][field], field, text)
    return changes


def parse_value(hint: Any, field: str, text: str) -> Any:
    """Return a field's value; a size may be written 180x240. Raises CheckpointError for a wrong one."""
    if hint == LabelMap:
        return parse_label_map(text)
    if hint in (Size, Size | None):
        text = text.lower().replace("x", ",")
    return parse_as(hint, field, text)


def label_settings(assignments: Sequence[str]) -> Changes:
    """Return what `--set` changes in the label settings, in a command that has no other fields."""
    known = get_type_hints(LabelSettings)
    for field in parse_assignments(assignments):
        if field not in known:
            raise unknown_field(field, known)
    return training_settings(assignments)[3]


def unknown_field(field: str, known: Collection[str]) -> typer.BadParameter:
    """Return the error for a field that no part of the settings has."""
    return typer.BadParameter(f"--set {field}: unknown field; fields are {', '.join(known)}")


def protocol_changes(
    *,
    scales: str | None = None,
    flip: bool = False,
    window: str | None = None,
    stride: str | None = None,
    long_side: int | None = None,
    short_side: int | None = None,
) -> Changes:
    """Return what a command's options change in a protocol. Raises BadParameter for a wrong size or scale."""
    changes: Changes = {}
    if scales is not None:
        changes["scales"] = parse_scales(scales)
    if flip:
        changes["flip"] = True
    if window is not None:
        changes["window"] = parse_size(window, "--window")
        changes["stride"] = default_stride(changes["window"])
    if stride is not None:
        changes["stride"] = parse_size(stride, "--stride")
    if long_side is not None or short_side is not None:
        changes |= {"long_side": long_side, "short_side": short_side}
    return changes


def parse_scales(text: str) -> tuple[float, ...]:
    """Return `"0.5,1"` as factors, without checking their range."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--scales takes numbers, such as 0.5,0.75,1; got {text!r}") from None


def summary(config: DANetConfig, fields: Collection[str] | None = None) -> str:
    """Return the fields that differ from the default, and depth, stride and classes; only `fields` if given."""
    default = type(config)().to_dict()
    words = []
    for name, value in config.to_dict().items():
        if fields is not None and name not in fields:
            continue
        if name in COUNTED and value is not None:
            words.append(f"{name}: {len(value)}")
        elif name in ALWAYS or value != default[name]:
            words.append(f"{name}={_text(value)}")
    return " ".join(words)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_text(item) for item in value) or "none"
    return "none" if value is None else str(value).lower()

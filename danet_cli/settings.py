"""A config in words: `--set` assignments in, one line of what makes a network unlike the default out."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:  # NumPy comes with it, and `danet --help` needs none
    from danet_common import DANetConfig

SHOWN = ("class_names", "palette")  # long: their presence is said, not their value


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """`["multi_grid=1,2,4"]` as field -> text; the fields and values themselves are judged further down."""
    settings = {}
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals or not field:
            raise typer.BadParameter(f"--set takes FIELD=VALUE; got {assignment!r}")
        settings[field.strip()] = value
    return settings


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`"97x129"` as height and width."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text.strip().lower())
    if not match:
        raise typer.BadParameter(f"{option} takes HEIGHTxWIDTH in pixels, such as 256x512; got {text!r}")
    return int(match[1]), int(match[2])


def training_settings(
    assignments: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What `--set` changes in the network's config, the recipe, the augmentation and the label settings.

    Each field has one owner.
    """
    from typing import get_type_hints

    from danet_common import DANetConfig
    from danet_common.config import FROM_THE_DATA
    from danet_common.config.former_arguments import FORMER_FIELDS
    from danet_common.config.recipe import TrainConfig
    from danet_common.data import Augmentation
    from danet_common.data.label_settings import LabelMap, LabelSettings, parse_label_map
    from danet_common.data.resizing import Size
    from weights_convert.settings import parse_as

    owners = [get_type_hints(owner) for owner in (DANetConfig, TrainConfig, Augmentation, LabelSettings)]
    changes: tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {}, {})
    for field, text in parse_assignments(assignments).items():
        if field in FROM_THE_DATA:
            raise typer.BadParameter(f"--set {field}: it comes from the data set")
        owner = next((place for place, hints in enumerate(owners) if field in hints), None)
        if field in FORMER_FIELDS:
            raise typer.BadParameter(f"--set {field}: the field is {FORMER_FIELDS[field]} now")
        if owner is None:
            known = ", ".join(name for hints in owners for name in hints if name not in FROM_THE_DATA)
            raise typer.BadParameter(f"--set {field}: there is no such field; there are {known}")
        hint = owners[owner][field]
        if hint == LabelMap:
            changes[owner][field] = parse_label_map(text)
            continue
        sized = hint in (Size, Size | None)
        changes[owner][field] = parse_as(hint, field, text.lower().replace("x", ",") if sized else text)
    return changes


def label_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """What `--set` changes in how label files are read, where nothing else can be set."""
    from dataclasses import fields

    from danet_common.data.label_settings import LabelSettings

    known = [field.name for field in fields(LabelSettings)]
    unknown = next((field for field in parse_assignments(assignments) if field not in known), None)
    if unknown is not None:
        raise typer.BadParameter(f"--set {unknown}: there is no such field; there are {', '.join(known)}")
    return training_settings(assignments)[3]


def protocol_changes(
    *,
    scales: str | None = None,
    flip: bool = False,
    window: str | None = None,
    stride: str | None = None,
    long_side: int | None = None,
    short_side: int | None = None,
) -> dict[str, Any]:
    """What a command's options change in a protocol. Raises BadParameter for what is no size or no scale."""
    from danet_common.evaluation.protocols import default_stride

    changes: dict[str, Any] = {}
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
    """`"0.5,1"` as factors; what a factor may be is judged further down."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--scales takes numbers, such as 0.5,0.75,1; got {text!r}") from None


def summary(config: DANetConfig, fields: Collection[str] | None = None) -> str:
    """The fields that are not the default's, and always the network's depth, stride and classes; of `fields` alone, if
    given."""
    default = type(config)().to_dict()
    always = ("block", "layers", "output_stride", "multi_grid", "num_classes")
    words = []
    for name, value in config.to_dict().items():
        if fields is not None and name not in fields:
            continue
        if name in SHOWN and value is not None:
            words.append(f"{name}: {len(value)}")
        elif name in always or value != default[name]:
            words.append(f"{name}={_text(value)}")
    return " ".join(words)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_text(item) for item in value) or "none"
    return "none" if value is None else str(value).lower()

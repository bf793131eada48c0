"""A run's plan: the content of run.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danet_common.config import DANetConfig
from danet_common.config.recipe import TrainConfig
from danet_common.config.typed_json import from_json, require, shown
from danet_common.data.augmentation import Augmentation
from danet_common.data.label_settings import NO_SETTINGS, LabelSettings

FORMAT_VERSION = 1
MAXIMUM_PIXELS = 2**30  # of a batch: 512 crops of 1024x2048, 16 GiB as an array of normalised images and labels


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Steps between two events of a kind; the last step has all events. Raises ValueError."""

    log: int  # a line in the metrics file
    save: int  # last.safetensors
    validate: int

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            require(value >= 1, name, "at least 1", value)


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The options of a run. Raises ValueError, naming the field."""

    data: str  # NAME:PATH
    split: str
    val: str | None  # None: there is no validation
    val_split: str
    network: str  # a variant's name, or the file of the first weights
    backbone: str | None  # the file of the first backbone
    recipe_name: str | None
    config: DANetConfig
    recipe: TrainConfig
    augmentation: Augmentation
    intervals: Intervals
    version: str  # of danet
    labels: LabelSettings = NO_SETTINGS  # of the label files of `data` and `val`

    def __post_init__(self) -> None:
        weights, classes = self.recipe.class_weights, self.config.num_classes
        if weights is not None and len(weights) != classes:
            raise ValueError(f"recipe.class_weights has {len(weights)} items; the network has {classes} classes")
        batch_size, (height, width) = self.recipe.batch_size, self.augmentation.crop
        if batch_size * height * width > MAXIMUM_PIXELS:
            raise ValueError(
                f"recipe.batch_size is {batch_size} and augmentation.crop {height}x{width}: a batch of more than "
                f"{MAXIMUM_PIXELS} pixels. Choose a smaller batch, or gradient_accumulation_steps"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan, JSON-ready."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        nested = {name: getattr(self, name).to_dict() for name in ("config", "recipe", "labels")}
        nested |= {name: dataclasses.asdict(plain[name]) for name in ("augmentation", "intervals")}
        return {"format_version": FORMAT_VERSION, **plain, **nested}

    @classmethod
    def from_dict(cls, fields: Any) -> RunPlan:
        """Return the plan that `to_dict` gave. Raises ValueError of one line, naming the field."""
        if isinstance(fields, Mapping):
            version = fields.get("format_version")
            if type(version) is not int or version != FORMAT_VERSION:
                raise ValueError(f"format_version is {shown(version)}; this danet reads {FORMAT_VERSION}")
            fields = {name: value for name, value in fields.items() if name != "format_version"}
        return from_json(cls, fields)

    @staticmethod
    def from_old_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of any version by their present names."""
        return {"intervals" if name == "cadence" else name: value for name, value in fields.items()}


def placed(spec: str) -> str:
    """Return a data set's spec with its path made absolute, so that a run resumes from any folder."""
    name, _, place = spec.partition(":")
    return f"{name}:{Path(place).expanduser().absolute()}" if place and name != "scenes" else spec

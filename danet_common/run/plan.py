"""Everything that was asked of a run, as its folder keeps it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danet_common.config import DANetConfig
from danet_common.data.augmentation import Augmentation
from danet_common.data.label_settings import NO_SETTINGS, LabelSettings
from danet_common.recipe import TrainConfig

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """After how many steps what is done; the last step has all of it. Raises ValueError."""

    log: int  # a line in the metrics file
    save: int  # last.safetensors
    validate: int

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise ValueError(f"--{name}-every must be at least 1; got {value}")


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run is, apart from how far it has come and who computes it."""

    data: str  # NAME:PATH
    split: str
    val: str | None  # None: there is no validation
    val_split: str
    network: str  # a variant's name, or the file whose weights it began with
    backbone: str | None  # the file whose backbone it began with
    recipe_name: str | None
    config: DANetConfig
    recipe: TrainConfig
    augmentation: Augmentation
    cadence: Cadence
    version: str  # of danet
    labels: LabelSettings = NO_SETTINGS  # of the label files of `data` and `val`

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        nested = {name: getattr(self, name).to_dict() for name in ("config", "recipe", "labels")}
        nested |= {name: dataclasses.asdict(plain[name]) for name in ("augmentation", "cadence")}
        return {"format_version": FORMAT_VERSION, **plain, **nested}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunPlan:
        """The inverse of `to_dict`. Raises ValueError, TypeError or KeyError where it is none."""
        values = dict(fields)
        version = values.pop("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version is {version!r}; this danet reads {FORMAT_VERSION}")
        values["config"] = DANetConfig.from_dict(values["config"])
        values["recipe"] = TrainConfig.from_dict(values["recipe"])
        augmentation: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values["augmentation"].items()
        }
        values["augmentation"] = Augmentation(**augmentation)
        values["cadence"] = Cadence(**values["cadence"])
        values["labels"] = LabelSettings.from_dict(values.get("labels", {}))
        return cls(**values)


def placed(spec: str) -> str:
    """A data set's spec with its path made absolute, so that a run goes on from any folder."""
    name, _, place = spec.partition(":")
    return f"{name}:{Path(place).expanduser().absolute()}" if place and name != "scenes" else spec

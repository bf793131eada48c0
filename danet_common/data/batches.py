"""Training batches as arrays, each made from nothing but its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from jaxtyping import Float32, Int32

from danet_common.config import DANetConfig
from danet_common.data.augmentation import Augmentation, augment
from danet_common.data.dataset import Dataset
from danet_common.data.image import normalise
from danet_common.data.sampler import SampleIndex, Sampler
from danet_common.numerics.keyed_random import KeyedRandom


class Batch(TypedDict):
    """One step's rows of one process: normalised pictures, and classes or 255."""

    image: Float32[np.ndarray, "b h w c"]
    labels: Int32[np.ndarray, "b h w"]


@dataclass(frozen=True)
class Batches:
    """Every batch of a run, by its step."""

    dataset: Dataset
    augmentation: Augmentation
    config: DANetConfig
    order: Sampler

    def batch(self, step: int) -> Batch:
        """The rows of this process in one step; steps are numbered from 0."""
        rows = [self.row(turn) for turn in self.order.turns(step)]
        return {"image": np.stack([image for image, _ in rows]), "labels": np.stack([labels for _, labels in rows])}

    def row(self, turn: SampleIndex) -> tuple[Float32[np.ndarray, "h w c"], Int32[np.ndarray, "h w"]]:
        """One item as one epoch shows it; padding is the config's mean colour, near 0 when normalised."""
        sample = self.dataset.item(turn.item)
        draws = KeyedRandom("augmentation", self.order.seed, turn.epoch, turn.item)
        mean = (self.config.mean * 3)[:3]  # a grey network's one mean is that of all three
        padding = (round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2]))
        image, labels = augment(sample.image, sample.labels, self.augmentation, draws, padding)
        return normalise(image, self.config), labels.astype(np.int32)

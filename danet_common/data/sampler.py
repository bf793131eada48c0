"""The items in each batch, as a pure function of the step.

The items of all epochs form one sequence, shuffled by epoch. Each step takes the next global batch, and each process
takes its part of the rows. So the training does not depend on the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from danet_common.config.typed_json import require
from danet_common.imports import import_grain
from danet_common.numerics.keyed_random import stream_key


class SampleIndex(NamedTuple):
    """An item in an epoch, the key of its augmentation."""

    epoch: int
    item: int


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The order of training items. Raises ValueError naming an invalid field.

    count           items of the data set
    batch_size      rows of one process; the global batch has `shard_count` times as many
    drop_remainder  True: an epoch is a whole number of batches and leaves out the rest of the items, different ones
                    each time; False: a batch may hold the end of one epoch and the start of the next
    """

    count: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    shard_index: int = 0
    shard_count: int = 1
    drop_remainder: bool = False

    def __post_init__(self) -> None:
        for name in ("count", "batch_size", "shard_count"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        index = self.shard_index
        require(0 <= index < self.shard_count, "shard_index", f"from 0 to {self.shard_count - 1}", index)
        if self.epoch_items < 1:
            raise ValueError(
                f"drop_remainder leaves nothing: {self.count} items are less than a global batch, {self.global_batch}"
            )

    @property
    def global_batch(self) -> int:
        """Rows of a step in all processes together."""
        return self.batch_size * self.shard_count

    @property
    def epoch_items(self) -> int:
        """Number of items in an epoch."""
        return self.count // self.global_batch * self.global_batch if self.drop_remainder else self.count

    def epochs(self, step: int) -> float:
        """Return the number of epochs after `step` steps."""
        return step * self.global_batch / self.epoch_items

    def indices(self, step: int) -> list[SampleIndex]:
        """Return this process's rows of a step, from 0."""
        first = step * self.global_batch + self.shard_index * self.batch_size
        return [self._index(position) for position in range(first, first + self.batch_size)]

    def _index(self, position: int) -> SampleIndex:
        epoch, rank = divmod(position, self.epoch_items)
        return SampleIndex(epoch, int(self._items[epoch * self.count + rank]) if self.shuffle else rank)

    @cached_property
    def _items(self) -> Any:
        """Grain's global shuffle, a permutation of each epoch that is computed item by item."""
        # Grain adds the epoch to the seed; hashing keeps neighbouring seeds from sharing epochs.
        seed = stream_key("danet", "order", self.seed) % 2**32
        return import_grain().MapDataset.range(self.count).shuffle(seed=seed)

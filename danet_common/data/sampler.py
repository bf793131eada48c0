"""Which item stands in which row of which batch: a pure function, so that nothing but a number need be kept to go on.

The items of all epochs form one line, each epoch in an order of its own. A step's global batch is the next
so many of the line, and each process has its part of the rows: the global batches, and with them the training,
do not depend on how many processes there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from danet_common.numerics.keyed_random import stream_key


class SampleIndex(NamedTuple):
    """One item in one epoch: what its augmentation is drawn for."""

    epoch: int
    item: int


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The order of training items. Raises ValueError where it has none.

    count           items of the data set
    batch_size      rows of one process; the global batch has `shard_count` times as many
    drop_remainder  an epoch is whole batches, the few items left over sit it out (others each time);
                    else a batch may begin with the end of one epoch and end with the start of the next
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
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if not 0 <= self.shard_index < self.shard_count:
            raise ValueError(f"shard_index must be from 0 to {self.shard_count - 1}; got {self.shard_index!r}")
        if self.epoch_items < 1:
            raise ValueError(
                f"drop_remainder leaves nothing: {self.count} items are less than a global batch, {self.global_batch}"
            )

    @property
    def global_batch(self) -> int:
        """Rows of one step in all processes together."""
        return self.batch_size * self.shard_count

    @property
    def epoch_items(self) -> int:
        """How much of the line one epoch is."""
        return self.count // self.global_batch * self.global_batch if self.drop_remainder else self.count

    def epochs(self, step: int) -> float:
        """How often each item has been seen when so many steps are done."""
        return step * self.global_batch / self.epoch_items

    def turns(self, step: int) -> list[SampleIndex]:
        """The rows of this process in one step; steps are numbered from 0."""
        first = step * self.global_batch + self.shard_index * self.batch_size
        return [self._turn(place) for place in range(first, first + self.batch_size)]

    def _turn(self, place: int) -> SampleIndex:
        """Who stands at one place of the line."""
        epoch, rank = divmod(place, self.epoch_items)
        return SampleIndex(epoch, int(self._items[epoch * self.count + rank]) if self.shuffle else rank)

    @cached_property
    def _items(self) -> Any:
        """Grain's global shuffle: a permutation of each epoch, computed place by place."""
        import grain

        # Grain adds the epoch to the seed; a digest keeps neighbouring seeds from sharing epochs.
        seed = stream_key("danet", "order", self.seed) % 2**32
        return grain.MapDataset.range(self.count).shuffle(seed=seed)

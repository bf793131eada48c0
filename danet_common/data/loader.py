"""Batches for training, the same for every framework, and the same however many processes and threads make them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from danet_common.child_processes import starting_children
from danet_common.config import DANetConfig
from danet_common.config.typed_json import from_json
from danet_common.data.augmentation import Augmentation
from danet_common.data.batches import Batch, Batches
from danet_common.data.dataset import Dataset
from danet_common.data.sampler import Sampler

STEPS = 2**62  # a training run ends when it has had enough
MOST = 2**31 - 1  # steps of a run


@dataclass(frozen=True, kw_only=True)
class LoaderState:
    """Where a loader is, and what must be the same for the rest of its batches to be. Raises ValueError."""

    step: int  # of the next batch, from 0
    dataset: str  # the data set's fingerprint
    global_batch: int
    seed: int
    shuffle: bool
    drop_remainder: bool
    augmentation: Augmentation

    def __post_init__(self) -> None:
        if not 0 <= self.step <= MOST:
            raise ValueError(f"step must be from 0 to {MOST}; got {self.step}")


class Loader(Iterator[Batch]):
    """Training batches without end, read ahead by grain; `state` and `restore` go on where a run stopped.

        with Loader(dataset, augmentation, config, Order(count=len(dataset), batch_size=8)) as loader:
            batch = next(loader)

    threads  that make batches in this process, or in each worker; 0 makes them when they are asked for
    workers  processes that make them instead, started afresh (the main module must be importable)
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        config: DANetConfig,
        order: Sampler,
        *,
        threads: int = 2,
        workers: int = 0,
    ) -> None:
        if dataset.num_classes != config.num_classes:
            raise ValueError(f"{dataset.title} has {dataset.num_classes} classes, the network {config.num_classes}")
        if order.count != len(dataset):
            raise ValueError(f"{dataset.title} has {len(dataset)} items; the order is of {order.count}")
        self.batches = Batches(dataset, augmentation, config, order)
        self.threads, self.workers = threads, workers
        self.step = 0  # of the next batch
        self._readers: list[Any] = []  # grain's iterator, once there is one
        weakref.finalize(self, _close, self._readers)  # processes must not outlive Python's modules

    @property
    def epochs(self) -> float:
        """How often each item has been seen."""
        return self.batches.order.epochs(self.step)

    def __next__(self) -> Batch:
        begins = not self._readers
        if begins:
            self._readers.append(self._read_from(self.step))
        following = partial(next, self._readers[0])
        batch: Batch = starting_children(following) if begins and self.workers else following()
        self.step += 1
        if self.workers:  # theirs lies in shared memory, which is gone when grain's object is
            return {"image": np.array(batch["image"]), "labels": np.array(batch["labels"])}
        return batch

    def _read_from(self, step: int) -> Any:
        """Grain's iterator over all batches from one step on, in order."""
        import grain

        options = grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=self.threads)
        batches = grain.MapDataset.range(step, STEPS).map(self.batches.batch).to_iter_dataset(options)
        if self.workers:
            _mark_flags_parsed()
            processes = grain.MultiprocessingOptions(num_workers=self.workers, per_worker_buffer_size=1)
            batches = batches.mp_prefetch(processes, _begin_worker)
        return iter(batches)

    def state(self) -> dict[str, Any]:
        """JSON-ready: the number of the next step, and what must be the same for the rest to be.

        The same in every process, and whatever their number, if only the global batch is the same.
        """
        fields: dict[str, Any] = _listed(dataclasses.asdict(self._state()))
        return fields

    def _state(self) -> LoaderState:
        order = self.batches.order
        return LoaderState(
            step=self.step,
            dataset=self.batches.dataset.fingerprint(),
            global_batch=order.global_batch,
            seed=order.seed,
            shuffle=order.shuffle,
            drop_remainder=order.drop_remainder,
            augmentation=self.batches.augmentation,
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises ValueError, naming what is wrong or differs, where that gives other batches."""
        self.go_to(from_json(LoaderState, state, "the loader's state"))

    def go_to(self, before: LoaderState) -> None:
        """Go on from a state. Raises ValueError, naming what differs, where that gives other batches."""
        own = self._state()
        other = [name for name in self.state() if name != "step" and getattr(own, name) != getattr(before, name)]
        if other:
            differences = "; ".join(f"{name} was {getattr(before, name)}, is {getattr(own, name)}" for name in other)
            raise ValueError(f"the data of this run are not those of the run to go on with: {differences}")
        self.close()
        self.step = before.step

    def close(self) -> None:
        """Stop reading ahead. The next batch starts it again."""
        _close(self._readers)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close(readers: list[Any]) -> None:
    """Close and forget them."""
    while readers:
        readers.pop().close()


def _begin_worker(index: int, count: int) -> None:
    """Let a worker end with the process that trains: no later, and no sooner.

    A signal to all processes ends no worker: the one that trains needs its batches until its step is done.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent has ended, by SIGKILL too; grain's workers would wait for it for ever.

    Python's resource tracker then removes the shared memory.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _mark_flags_parsed() -> None:
    """Let grain's processes start: they read settings of absl's command line, which here nobody has parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _listed(value: Any) -> Any:
    """What JSON would give back: lists for tuples."""
    if isinstance(value, dict):
        return {name: _listed(item) for name, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value

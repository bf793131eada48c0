"""Training batches and evaluation items, the same in every framework and with any number of processes and threads."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float32, Int32

from danet_common.child_processes import starting_children
from danet_common.config import DANetConfig
from danet_common.config.typed_json import from_json, require
from danet_common.data.augmentation import Augmentation, augment
from danet_common.data.dataset import Dataset, Sample
from danet_common.data.image import normalise
from danet_common.data.sampler import SampleIndex, Sampler
from danet_common.imports import import_grain
from danet_common.numerics.keyed_random import KeyedRandom

ALL_STEPS = 2**62  # grain needs a length; the trainer stops earlier
MAX_STEPS = 2**31 - 1  # of a run
THREADS = 2  # that read items or make batches


class Batch(TypedDict):
    """One process's rows of a step: normalised images, and classes or 255."""

    image: Float32[np.ndarray, "b h w c"]
    labels: Int32[np.ndarray, "b h w"]


@dataclass(frozen=True)
class Batches:
    """All batches of a run; each depends on its step only."""

    dataset: Dataset
    augmentation: Augmentation
    config: DANetConfig
    sampler: Sampler

    def batch(self, step: int) -> Batch:
        """Return this process's rows of a step, from 0."""
        rows = [self.row(index) for index in self.sampler.indices(step)]
        return {"image": np.stack([image for image, _ in rows]), "labels": np.stack([labels for _, labels in rows])}

    def row(self, index: SampleIndex) -> tuple[Float32[np.ndarray, "h w c"], Int32[np.ndarray, "h w"]]:
        """Return an item as augmented in one epoch, padded with the config's mean colour."""
        sample = self.dataset.item(index.item)
        random = KeyedRandom("augmentation", self.sampler.seed, index.epoch, index.item)
        red, green, blue = (round(255 * mean) for mean in (self.config.mean * 3)[:3])  # a grey network has 1 mean
        image, labels = augment(sample.image, sample.labels, self.augmentation, random, (red, green, blue))
        return normalise(image, self.config), labels.astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class LoaderState:
    """Position of a loader, and the settings that its further batches depend on. Raises ValueError."""

    step: int  # of the next batch, from 0
    dataset: str  # the data set's fingerprint
    global_batch: int
    seed: int
    shuffle: bool
    drop_remainder: bool
    augmentation: Augmentation

    def __post_init__(self) -> None:
        require(0 <= self.step <= MAX_STEPS, "step", f"from 0 to {MAX_STEPS}", self.step)


class Loader(Iterator[Batch]):
    """Endless training batches, prefetched by grain; `state` and `restore` resume a run.

        with Loader(dataset, augmentation, config, Sampler(count=len(dataset), batch_size=8)) as loader:
            batch = next(loader)

    threads  threads that make batches in this process, or in each worker; 0 makes a batch when it is asked for
    workers  processes that make batches instead; they are spawned, so the main module must be importable
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        config: DANetConfig,
        sampler: Sampler,
        *,
        threads: int = THREADS,
        workers: int = 0,
    ) -> None:
        if dataset.num_classes != config.num_classes:
            raise ValueError(f"{dataset.title} has {dataset.num_classes} classes, the network {config.num_classes}")
        if sampler.count != len(dataset):
            raise ValueError(f"{dataset.title} has {len(dataset)} items; the sampler has {sampler.count}")
        self.batches = Batches(dataset, augmentation, config, sampler)
        self.threads, self.workers = threads, workers
        self.step = 0  # of the next batch
        self._readers: list[Any] = []  # grain's iterator, once it is started
        weakref.finalize(self, _close, self._readers)  # processes must not outlive Python's modules

    @property
    def epochs(self) -> float:
        """Number of times that each item has been seen."""
        return self.batches.sampler.epochs(self.step)

    def __next__(self) -> Batch:
        starting = not self._readers
        if starting:
            self._readers.append(self._read_from(self.step))
        read_next = partial(next, self._readers[0])
        batch: Batch = starting_children(read_next) if starting and self.workers else read_next()
        self.step += 1
        if self.workers:  # a worker's arrays lie in shared memory, which grain frees
            return {"image": np.array(batch["image"]), "labels": np.array(batch["labels"])}
        return batch

    def _read_from(self, step: int) -> Any:
        """Return grain's iterator over all batches from a step on."""
        grain = import_grain()
        options = grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=self.threads)
        batches = grain.MapDataset.range(step, ALL_STEPS).map(self.batches.batch).to_iter_dataset(options)
        if self.workers:
            _mark_flags_parsed()
            processes = grain.MultiprocessingOptions(num_workers=self.workers, per_worker_buffer_size=1)
            batches = batches.mp_prefetch(processes, _begin_worker)
        return iter(batches)

    def state(self) -> dict[str, Any]:
        """Return the JSON-ready state; it is the same in every process and for any number of them."""
        state: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self._state())))  # lists for tuples
        return state

    def _state(self) -> LoaderState:
        sampler = self.batches.sampler
        return LoaderState(
            step=self.step,
            dataset=self.batches.dataset.fingerprint(),
            global_batch=sampler.global_batch,
            seed=sampler.seed,
            shuffle=sampler.shuffle,
            drop_remainder=sampler.drop_remainder,
            augmentation=self.batches.augmentation,
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a JSON state. Raises ValueError naming invalid or different settings."""
        self.go_to(from_json(LoaderState, state, "the loader's state"))

    def go_to(self, before: LoaderState) -> None:
        """Continue from a state. Raises ValueError naming the settings that differ."""
        now = self._state()
        differing = [name for name in self.state() if name != "step" and getattr(now, name) != getattr(before, name)]
        if differing:
            text = "; ".join(f"{name} was {getattr(before, name)}, is {getattr(now, name)}" for name in differing)
            raise ValueError(f"the data of this run are not those of the run to go on with: {text}")
        self.close()
        self.step = before.step

    def close(self) -> None:
        """Stop prefetching; the next batch starts it again."""
        _close(self._readers)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def each_sample(
    dataset: Dataset, *, shard_index: int = 0, shard_count: int = 1
) -> Generator[tuple[int, Sample], None, None]:
    """Yield the number and the sample of each item in order, for evaluation; grain prefetches in threads.

    Process `shard_index` takes every `shard_count`th item, so that all processes together take each item once.
    """
    numbers = range(shard_index, len(dataset), shard_count)
    if not numbers:
        return
    grain = import_grain()
    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=THREADS)
    items = grain.MapDataset.range(numbers.start, numbers.stop, numbers.step).map(dataset.item)
    reader = iter(items.to_iter_dataset(options))
    try:
        yield from zip(numbers, reader, strict=True)
    finally:
        reader.close()


def _close(readers: list[Any]) -> None:
    while readers:
        readers.pop().close()


def _begin_worker(index: int, count: int) -> None:
    """Ignore signals in a worker, which the trainer needs until its step ends, and end the worker with the trainer."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process after its parent, even by SIGKILL; Python's resource tracker then frees shared memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _mark_flags_parsed() -> None:
    """Let grain start processes: it reads absl's flags, which must be parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()

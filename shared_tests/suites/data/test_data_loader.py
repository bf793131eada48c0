"""Training batches: the same from any number of threads and processes, and after any stop."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import DANetConfig
from danet_common.data import Augmentation, Batch, DataError, Dataset, Loader, Sampler, each_sample, open_dataset
from danet_common.data.image import normalise
from danet_common.data.loader import Batches
from danet_common.data.sampler import SampleIndex
from danet_common.data.specs import ON_DISK
from danet_common.extras import TRAINING
from shared_tests.suites.conftest import Start
from shared_tests.suites.data.test_data_layouts import write_image, write_labels, write_list

pytestmark = pytest.mark.needs(*TRAINING)

ROOT = Path(__file__).parents[3]
CONFIG = DANetConfig(num_classes=7)
SMALL = Augmentation(crop=(32, 40))
EVERYTHING = Augmentation(
    crop=(48, 64), largest_share=0.75, brightness=0.1, contrast=0.5, saturation=0.5, hue=36, blur=1
)

# SHA-256 of the second batch below: the bytes that every framework is trained on. Contrast beside saturation or hue
# takes a draw for its place, first or last; batches without that pair have the same bytes with and without this draw.
GOLDEN = "79a1159f26623636"
GOLDEN_ORDER = [6, 4, 2, 0, 5, 1, 7, 9, 8, 3, 8, 4, 2, 5, 6, 1, 7, 9, 3, 0]


def loader(count: int = 10, batch_size: int = 4, threads: int = 0, workers: int = 0, **order: int) -> Loader:
    """Small batches of scenes."""
    dataset = open_dataset(f"scenes:{count}", "train")
    placed = Sampler(count=count, batch_size=batch_size, **order)  # type: ignore[arg-type]
    return Loader(dataset, SMALL, CONFIG, placed, threads=threads, workers=workers)


def taken(batches: Iterator[Batch], count: int) -> list[bytes]:
    """The bytes of the next batches."""
    return [batch["image"].tobytes() + batch["labels"].tobytes() for batch in itertools.islice(batches, count)]


def items(order: Sampler, steps: range) -> list[int]:
    """The items of some steps, in order."""
    return [turn.item for step in steps for turn in order.indices(step)]


def test_batches_never_change() -> None:
    dataset = open_dataset("scenes:10", "train")
    with Loader(dataset, EVERYTHING, CONFIG, Sampler(count=10, batch_size=4, seed=3)) as batches:
        next(batches)
        batch = next(batches)
    assert (batch["image"].shape, batch["image"].dtype) == ((4, 48, 64, 3), np.float32)
    assert (batch["labels"].shape, batch["labels"].dtype) == ((4, 48, 64), np.int32)
    assert hashlib.sha256(batch["image"].tobytes() + batch["labels"].tobytes()).hexdigest()[:16] == GOLDEN


def test_order_never_changes() -> None:
    assert items(Sampler(count=10, batch_size=5, seed=3), range(4)) == GOLDEN_ORDER


def test_every_epoch_has_each_item_once_in_its_own_order() -> None:
    order = Sampler(count=11, batch_size=4)
    line = items(order, range(11))
    epochs = [line[start : start + 11] for start in range(0, 44, 11)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    assert [turn.epoch for step in range(3) for turn in order.indices(step)] == [0] * 11 + [1]
    assert order.epochs(11) == 4


def test_seeds_have_orders_of_their_own() -> None:
    lines = {seed: items(Sampler(count=20, batch_size=20, seed=seed), range(3)) for seed in range(3)}
    epochs = {tuple(line[start : start + 20]) for line in lines.values() for start in (0, 20, 40)}
    assert len(epochs) == 9


def test_without_shuffling_the_order_is_the_data_sets() -> None:
    assert items(Sampler(count=5, batch_size=2, shuffle=False), range(5)) == [*range(5), *range(5)]


def test_the_rest_is_dropped_on_request() -> None:
    order = Sampler(count=11, batch_size=4, drop_remainder=True)
    epochs = [items(order, range(step, step + 2)) for step in range(0, 100, 2)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert set(itertools.chain(*epochs)) == set(range(11))  # no sample is always left out
    assert order.epochs(2) == 1
    with pytest.raises(ValueError, match="3 items are less than a global batch, 4"):
        Sampler(count=3, batch_size=2, shard_count=2, drop_remainder=True)


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_together_are_the_whole(shards: int) -> None:
    whole = Sampler(count=10, batch_size=8)
    parts = [
        Sampler(count=10, batch_size=8 // shards, shard_index=index, shard_count=shards) for index in range(shards)
    ]
    for step in range(5):
        assert list(itertools.chain(*(part.indices(step) for part in parts))) == whole.indices(step)


def test_shards_have_the_rows_of_the_whole_batch() -> None:
    whole, *parts = loader(), *(loader(batch_size=2, shard_index=index, shard_count=2) for index in range(2))
    for _ in range(3):
        expected, shards = next(whole), [next(part) for part in parts]
        assert np.array_equal(np.concatenate([shard["image"] for shard in shards]), expected["image"])
        assert np.array_equal(np.concatenate([shard["labels"] for shard in shards]), expected["labels"])


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_make_no_difference(threads: int) -> None:
    with loader() as alone, loader(threads=threads) as helped:
        assert taken(alone, 7) == taken(helped, 7)


def test_worker_processes_make_no_difference() -> None:
    with loader() as alone, loader(workers=2) as helped:
        alone.step = helped.step = 3
        assert taken(alone, 4) == taken(helped, 4)


def test_worker_processes_go_on_when_all_are_asked_to_end() -> None:
    """Ctrl-C and launchers ask the whole group, and the step that is to be finished may need a batch yet."""
    with loader() as alone, loader(workers=1) as helped:
        first = taken(helped, 1)
        for number in (signal.SIGINT, signal.SIGTERM):
            for worker in multiprocessing.active_children():
                assert worker.pid is not None
                os.kill(worker.pid, number)
        assert [*first, *taken(helped, 5)] == taken(alone, 6)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no list of processes there")
def test_worker_processes_end_with_the_one_that_trains() -> None:
    """Although it is killed, and cannot ask them to."""
    program = (
        "import multiprocessing, os, signal, sys, time\n"
        "from danet_common.data.loader import _begin_worker\n"
        "def work():\n"
        "    _begin_worker(0, 1)\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    worker = multiprocessing.get_context('fork').Process(target=work)\n"
        "    worker.start()\n"
        "    worker.join()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as trainer:
        assert trainer.stdout is not None
        try:
            worker = int(trainer.stdout.readline())
        finally:
            trainer.kill()
        await_end(lambda: not alive(worker))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory has no names there")
def test_a_killed_run_leaves_no_workers_and_no_shared_memory(start: Start, tmp_path: Path) -> None:
    start("torch")
    words = [sys.executable, "-m", "danet_cli.main", "train", "--data", "scenes:8", "--val", "none", "--workers", "2"]
    words += ["--network", "danet_tiny", "--backend", "torch", "--out", str(tmp_path / "run"), "--log-every", "1"]
    metrics, environment = tmp_path / "run" / "metrics.jsonl", {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment) as trainer:
        try:
            await_end(lambda: metrics.exists() and metrics.stat().st_size > 0, 120)
            children = children_of(trainer.pid)
            shared = {Path(place) for pid in (trainer.pid, *children) for place in shared_by(pid)}
        finally:
            trainer.kill()
    assert len(children) >= 3  # two workers, and Python's tracker of shared memory
    assert shared
    await_end(lambda: not any(map(alive, children)), 30)
    await_end(lambda: not any(place.exists() for place in shared), 30)


def children_of(pid: int) -> list[int]:
    """Processes that this one started, from any of its threads."""
    return [int(word) for place in Path(f"/proc/{pid}/task").glob("*/children") for word in place.read_text().split()]


def shared_by(pid: int) -> set[str]:
    """Shared memory that a process has mapped."""
    return set(re.findall(r"/dev/shm/\S+", Path(f"/proc/{pid}/maps").read_text()))


def alive(pid: int) -> bool:
    """True unless the process has ended; a parent may not have asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_end(done: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [0, 1, 4])  # 10 items in fours: in the middle of the first and second epoch
def test_restored_it_goes_on_bit_for_bit(stop: int) -> None:
    with loader() as straight, loader(threads=2) as before, loader(threads=1) as after:
        expected = taken(straight, 8)
        assert taken(before, stop) == expected[:stop]
        after.restore(json.loads(json.dumps(before.state())))
        assert taken(after, 8 - stop) == expected[stop:]


def test_it_goes_on_with_another_number_of_processes() -> None:
    with loader() as one, loader(batch_size=2, shard_index=1, shard_count=2) as second_of_two:
        taken(one, 3)
        second_of_two.restore(one.state())
        assert np.array_equal(next(second_of_two)["image"], next(one)["image"][2:])


def test_a_loader_can_go_back() -> None:
    with loader(threads=2) as batches:
        start = batches.state()
        first = taken(batches, 3)
        batches.restore(start)
        assert taken(batches, 3) == first
        assert batches.epochs == 1.2


def test_other_data_are_not_gone_on_with() -> None:
    state = loader().state()
    others = {"dataset": loader(count=11), "seed": loader(seed=1), "global_batch": loader(batch_size=2)}
    for field, other in others.items():
        with pytest.raises(ValueError, match=f"{field} was .*, is "):
            other.restore(state)
    other = Loader(open_dataset("scenes:10", "train"), EVERYTHING, CONFIG, Sampler(count=10, batch_size=4))
    with pytest.raises(ValueError, match="augmentation was"):
        other.restore(state)


def test_one_item_of_one_epoch_can_be_made_again_alone() -> None:
    batches = loader().batches
    turn = batches.sampler.indices(5)[2]
    image, labels = batches.row(turn)
    assert np.array_equal(image, batches.batch(5)["image"][2])
    assert np.array_equal(labels, batches.batch(5)["labels"][2])
    assert not np.array_equal(image, batches.row(SampleIndex(turn.epoch + 1, turn.item))[0])


def test_one_image_makes_batches() -> None:
    with loader(count=1, batch_size=3) as batches:
        batch = next(batches)
    assert len({image.tobytes() for image in batch["image"]}) == 3  # augmented each for itself


@pytest.fixture
def mixed(tmp_path: Path) -> Dataset:
    """Pictures of different sizes; the second is all void."""
    write_list(tmp_path / "classes.txt", *"abcdefg")
    for index, (height, width, value) in enumerate([(4, 6, 3), (90, 70, 255), (1, 1, 6)]):
        write_image(tmp_path / f"images/{index}.png", height, width)
        write_labels(tmp_path / f"labels/{index}.png", value, height=height, width=width)
    return open_dataset(f"folder:{tmp_path}", "train")


def test_pictures_of_any_size_and_all_void_make_batches(mixed: Dataset) -> None:
    with Loader(mixed, SMALL, CONFIG, Sampler(count=3, batch_size=3, shuffle=False)) as batches:
        batch = next(batches)
    assert batch["image"].shape == (3, 32, 40, 3)
    assert np.isfinite(batch["image"]).all()
    assert [set(np.unique(labels)) for labels in batch["labels"]] == [{3, 255}, {255}, {6, 255}]


def test_padding_is_nearly_zero_when_normalised(mixed: Dataset) -> None:
    batch = Batches(mixed, SMALL, CONFIG, Sampler(count=3, batch_size=3, shuffle=False)).batch(0)
    corner = batch["image"][2, -1, -1]
    assert np.abs(corner).max() < 0.5 / 255 / min(CONFIG.std) + 1e-6  # the mean colour in bytes is half a byte off


def test_normalised_as_prediction_does(mixed: Dataset) -> None:
    still = Augmentation(crop=(4, 6), scale=(1, 1), flip=0)
    batch = Batches(mixed, still, CONFIG, Sampler(count=3, batch_size=1, shuffle=False)).batch(0)
    assert np.array_equal(batch["image"][0], normalise(mixed.item(0).image, CONFIG))


def test_grey_networks_get_one_channel(mixed: Dataset) -> None:
    grey = DANetConfig(num_classes=7, in_channels=1, mean=(0.5,), std=(0.25,))
    batch = Batches(mixed, SMALL, grey, Sampler(count=3, batch_size=2)).batch(0)
    assert batch["image"].shape == (2, 32, 40, 1)


@pytest.mark.parametrize("threads", [0, 2])
def test_what_cannot_be_read_is_named(threads: int, mixed: Dataset, tmp_path: Path) -> None:
    (tmp_path / "labels/1.png").unlink()
    order = Sampler(count=3, batch_size=3)
    with (
        Loader(mixed, SMALL, CONFIG, order, threads=threads) as batches,
        pytest.raises(DataError, match=r"labels/1\.png: no such label file"),
    ):
        next(batches)


def test_network_and_order_must_be_those_of_the_data(mixed: Dataset) -> None:
    with pytest.raises(ValueError, match="has 7 classes, the network 19"):
        Loader(mixed, SMALL, DANetConfig(), Sampler(count=3, batch_size=1))
    with pytest.raises(ValueError, match="has 3 items; the sampler has 4"):
        Loader(mixed, SMALL, CONFIG, Sampler(count=4, batch_size=1))


@pytest.mark.parametrize(("field", "value"), [("count", 0), ("batch_size", 0), ("shard_count", 0), ("shard_index", 1)])
def test_orders_without_meaning_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        Sampler(**{"count": 4, "batch_size": 2, field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("shards", [1, 3, 12])
def test_evaluation_sees_each_item_once_in_order(shards: int) -> None:
    dataset = open_dataset("scenes:10", "val")
    seen = [[number for number, _ in each_sample(dataset, shard_index=k, shard_count=shards)] for k in range(shards)]
    assert all(numbers == sorted(numbers) for numbers in seen)
    assert sorted(itertools.chain(*seen)) == list(range(10))
    number, sample = next(each_sample(dataset, shard_index=2, shard_count=12))
    assert (number, sample.name) == (2, "val_00002")


def test_the_page_about_data_is_true() -> None:
    page = (Path(__file__).parents[3] / "docs/data.md").read_text()
    assert [name for name in ON_DISK if f"`{name}:PATH`" not in page] == []
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["batch"]["image"].shape == (8, 96, 128, 3)

"""Open and check the data sets of a run, and make its batches."""

from __future__ import annotations

from typing import NamedTuple

from danet_cli.console import CommandError, print_note
from danet_common.data import DataError, Dataset, Loader, Sampler, open_dataset
from danet_common.data.files import FileDataset
from danet_common.data.label_check import absent_remark
from danet_common.training.folder import RunFolder
from danet_common.training.framework import Distributed
from danet_common.training.plan import RunPlan
from danet_common.training.sharing import check_shares


class Loading(NamedTuple):
    """Threads, or processes instead, that make batches."""

    threads: int = 2
    workers: int = 0


class RunData(NamedTuple):
    """The data sets of a run; `val` is None without validation."""

    train: Dataset
    val: Dataset | None


def open_data(plan: RunPlan, folder: RunFolder | None) -> RunData:
    """Return the data sets. Raises DataError; for a resumed run it names the file with the data's path."""

    def opened(field: str, spec: str, split: str) -> Dataset:
        try:
            return open_dataset(spec, split, plan.labels)
        except DataError as error:
            if folder is None and field == "val":
                first, *further = error.errors
                hint = "--val-split NAME validates with another, --val none with none"
                raise DataError(f"{first}; {hint}", *further) from None
            if folder is None or spec != getattr(folder.read_plan(), field):
                raise
            raise DataError(f"{folder.plan}: {field}: {error}") from None

    train = opened("data", plan.data, plan.split)
    return RunData(train, None if plan.val is None else opened("val", plan.val, plan.val_split))


def require_same_classes(plan: RunPlan, data: RunData) -> None:
    """Raise CommandError where the classes of network, training data and validation data differ."""
    if data.train.names != plan.config.class_names:
        raise CommandError(f"the classes of {data.train.title} are not those that the run was begun with")
    if data.val is not None and data.val.names != data.train.names:
        raise CommandError(f"the classes of {data.val.title} are not those of {data.train.title}")


def check_labels(data: RunData) -> None:
    """Read all label files, and note what they hold. Raises DataError for unusable labels."""
    train, val = data
    counts = train.check(log=print_note)
    message = None if counts is None else absent_remark(train.title, train.names, counts)
    if message is not None:
        print_note(message)
    if val is None:
        return
    if isinstance(train, FileDataset) and isinstance(val, FileDataset) and train.pairs == val.pairs:
        print_note(f"{val.title}: the same images as the training data; the mIoU says nothing about new images")
    else:
        val.check(log=print_note)


def open_loader(plan: RunPlan, dataset: Dataset, distributed: Distributed, loading: Loading) -> Loader:
    """Return this process's share of the batches. Raises ValueError where they cannot be shared equally."""
    recipe, processes = plan.recipe, distributed.process_count
    check_shares(recipe, distributed.device_count)
    sampler = Sampler(
        count=len(dataset),
        batch_size=recipe.batch_size // processes,
        seed=recipe.seed,
        shard_index=distributed.process_index,
        shard_count=processes,
    )
    return Loader(dataset, plan.augmentation, plan.config, sampler, threads=loading.threads, workers=loading.workers)

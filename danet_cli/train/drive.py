"""Drive a run: open its data, join its processes, keep other processes out of its folder, and train."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from danet_cli.backend import BackendName, build, import_backend
from danet_cli.console import CommandError, print_note
from danet_cli.out_of_memory import explain_out_of_memory

if TYPE_CHECKING:
    from danet_common.data import Dataset, Loader
    from danet_common.training import Framework, RunFolder, RunPlan, StopReason, Trainer
    from danet_common.training.framework import Distributed
    from danet_common.training.training_checkpoint import TrainingCheckpoint

    ReadRun = Callable[[], tuple[RunPlan, TrainingCheckpoint]]

TAKES_LESS = "a run with a smaller crop, remat=true or more gradient_accumulation_steps takes less"


class Loading(NamedTuple):
    """Threads, or processes instead, that make batches."""

    threads: int = 2
    workers: int = 0


class RunData(NamedTuple):
    """The data sets of a run; `val` is None without validation."""

    train: Dataset
    val: Dataset | None


def drive(
    plan: RunPlan,
    folder: RunFolder,
    read: ReadRun,
    backend: BackendName,
    loading: Loading,
    *,
    is_new: bool,
    stop_after: int | None = None,
) -> tuple[Trainer, StopReason]:
    """Train in one framework until the run ends or pauses.

    read  returns the run's present state, once no other process can change it
    """
    from danet_common.training import data_state

    data = open_data(plan, None if is_new else folder)
    require_same_classes(plan, data)
    if plan.recipe.dtype == "float64":
        os.environ["JAX_ENABLE_X64"] = "1"  # JAX reads it when it is imported
    framework, distributed = join(backend)
    with naming_folder(folder), ExitStack() as lock:
        if not is_new:
            in_first_process(distributed, lambda: lock.enter_context(folder.held()))
        plan, training = read()
        loader = open_loader(plan, data.train, distributed, loading)
        in_first_process(distributed, lambda: check_labels(data))
        if is_new:
            training.data, training.source = data_state(loader, data.val), {"backend": backend}
            in_first_process(distributed, lambda: lock.enter_context(folder.created(plan, training)))
        trainer, reason = train_until(plan, folder, framework, distributed, training, loader, data, stop_after)
    distributed.close()  # not after an error: the other processes may never come
    return trainer, reason


def train_until(
    plan: RunPlan,
    folder: RunFolder,
    framework: Framework,
    distributed: Distributed,
    training: TrainingCheckpoint,
    loader: Loader,
    data: RunData,
    stop_after: int | None,
) -> tuple[Trainer, StopReason]:
    """Train with a display, which the first process shows."""
    from danet_cli.train.display import describe, note_last_step, open_display
    from danet_common.training import Callback, Trainer

    is_first = distributed.process_index == 0
    if is_first:
        describe(plan, folder, framework.name, distributed, training, data)
        note_last_step(plan, folder, training.step, stop_after)
    until = min(stop_after or plan.recipe.steps, plan.recipe.steps)
    with open_display(plan, training, until) if is_first else Callback() as callback:
        trainer = Trainer(plan, folder, framework, distributed, training, loader, data.val, callback)
        try:
            if is_first:
                folder.set_steps(plan.recipe.steps)
            with explain_out_of_memory(TAKES_LESS):
                return trainer, trainer.train(stop_after)
        finally:
            trainer.close()


def open_data(plan: RunPlan, folder: RunFolder | None) -> RunData:
    """Return the data sets. Raises DataError; for a resumed run it names the file with the data's path."""
    from danet_common.data import DataError, open_dataset

    def opened(field: str, spec: str, split: str) -> Dataset:
        try:
            return open_dataset(spec, split, plan.labels)
        except DataError as error:
            if folder is None and field == "val":
                first, *further = error.faults
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
    from danet_common.data.files import FileDataset
    from danet_common.data.label_check import absent_remark

    train, val = data
    counts = train.check(log=print_note)
    remark = None if counts is None else absent_remark(train.title, train.names, counts)
    if remark is not None:
        print_note(remark)
    if val is None:
        return
    if isinstance(train, FileDataset) and isinstance(val, FileDataset) and train.pairs == val.pairs:
        print_note(f"{val.title}: the same images as the training data; the mIoU says nothing about new images")
    else:
        val.check(log=print_note)


def open_loader(plan: RunPlan, dataset: Dataset, distributed: Distributed, loading: Loading) -> Loader:
    """Return this process's share of the batches. Raises ValueError where they cannot be shared equally."""
    from danet_common.data import Loader, Sampler
    from danet_common.training.sharing import check_shares

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


def join(backend: BackendName) -> tuple[Framework, Distributed]:
    """Return the functions of a framework that training calls, and its processes, joined."""
    from danet_common.training import Framework

    package = import_backend(backend)
    names = ("training.distributed", "training.state", "training.step", "parameters")
    distributed, state, step, parameters = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    framework = Framework(
        name=backend,
        restore=state.restore,
        capture=state.capture,
        train_step=step.train_step,
        from_checkpoint=partial(build, package),
        set_tensors=parameters.set_tensors,
        predict_logits=package.predict_logits,
    )
    return framework, distributed.init_distributed()


def in_first_process(distributed: Distributed, action: Callable[[], object]) -> None:
    """Act in the first process before the others continue. Raises in all processes where it fails."""
    import numpy as np

    failure: Exception | None = None
    if distributed.process_index == 0:
        try:
            action()
        except (ValueError, OSError) as error:
            failure = error
    failed = bool(distributed.sum(np.array([int(failure is not None)]))[0])
    if failure is not None:
        raise failure
    if failed:
        raise CommandError("the first process of this run ended with an error")


@contextmanager
def naming_folder(folder: RunFolder) -> Iterator[None]:
    """Name the run's folder in an error of a full disk, which names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(folder.root)) from None

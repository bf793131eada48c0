"""Drive a run: join its processes, keep other processes out of its folder, and train."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np

from danet_cli.backend import BackendName, build, import_backend
from danet_cli.console import CommandError
from danet_cli.out_of_memory import explain_out_of_memory
from danet_cli.train.data import Loading, RunData, check_labels, open_data, open_loader, require_same_classes
from danet_cli.train.display import describe, note_last_step, open_display
from danet_cli.train.plan import Run
from danet_common.data import Loader
from danet_common.training.callback import Callback
from danet_common.training.folder import RunFolder
from danet_common.training.framework import Distributed, Framework
from danet_common.training.loop import StopReason, Trainer, data_state
from danet_common.training.plan import RunPlan
from danet_common.training.training_checkpoint import TrainingCheckpoint

TAKES_LESS = "a run with a smaller crop, remat=true or more gradient_accumulation_steps takes less"


def drive(run: Run, loading: Loading, stop_after: int | None = None) -> tuple[Trainer, StopReason]:
    """Train in one framework until the run ends or pauses."""
    folder = run.folder
    data = open_data(run.plan, None if run.is_new else folder)
    require_same_classes(run.plan, data)
    if run.plan.recipe.dtype == "float64":
        os.environ["JAX_ENABLE_X64"] = "1"  # JAX reads it when it is imported
    framework, distributed = join(run.backend)
    with naming_folder(folder), ExitStack() as lock:
        if not run.is_new:
            in_first_process(distributed, lambda: lock.enter_context(folder.held()))
        plan, training = run.read()
        loader = open_loader(plan, data.train, distributed, loading)
        in_first_process(distributed, lambda: check_labels(data))
        if run.is_new:
            training.data, training.source = data_state(loader, data.val), {"backend": run.backend}
            in_first_process(distributed, lambda: lock.enter_context(folder.created(plan, training)))
        trainer, reason = train(plan, folder, framework, distributed, training, loader, data, stop_after)
    distributed.close()  # not after an error: the other processes may never come
    return trainer, reason


def train(
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


def join(backend: BackendName) -> tuple[Framework, Distributed]:
    """Return the functions of a framework that training calls, and its processes, joined."""
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

"""danet train: a network from a data set, in any of the three frameworks, and on from where a run is in any other."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.backend import BackendName, build, import_backend
from danet_cli.console import CommandError, ExitCode, print_note
from danet_cli.out_of_memory import saying_shortage
from danet_cli.pixel_limit import MaxPixels, limit_pixels
from danet_cli.train.plan import Asked, begin, go_on
from danet_cli.weights_option import WeightsKey

if TYPE_CHECKING:
    from danet_common.data import Dataset, Loader
    from danet_common.training import Framework, RunFolder, RunPlan, StopReason, Trainer
    from danet_common.training.training_checkpoint import TrainingCheckpoint

NEEDED = ("grain", "matplotlib", "tensorboard")  # for batches, curves and events
TAKES_LESS = "a run with a smaller crop, remat=true or more gradient_accumulation_steps takes less"


def train(
    data: Annotated[
        str | None, typer.Option(metavar="SPEC", help="NAME:PATH, such as cityscapes:DIR, or scenes.")
    ] = None,
    backend: Annotated[BackendName | None, typer.Option(help="Which framework computes.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="The new run's folder.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run, in its framework or in --backend.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|CKPT",
            help="A variant, or a checkpoint to begin from; the recipe's own network, else danet_r50.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A published recipe with its network, such as official-cityscapes."),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A trained backbone to begin from: torchvision's, timm's, mmseg's or PaddleSeg's."
        ),
    ] = None,
    weights_key: WeightsKey = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Of network, recipe, augmentation or labels; may be repeated."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="What is learned from; train.")] = None,
    val: Annotated[str | None, typer.Option(metavar="SPEC", help="Validation data, or none; those of --data.")] = None,
    val_split: Annotated[str | None, typer.Option(metavar="NAME", help="What is validated with; val.")] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps; a twentieth of all of them.")
    ] = None,
    save_every: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps; 500.")] = None,
    log_every: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps; 10.")] = None,
    stop_after: Annotated[int | None, typer.Option(min=1, metavar="STEP", help="Save and end when it is done.")] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=0, help="Threads that make batches.")] = 2,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that make them instead.")] = 0,
    max_pixels: MaxPixels = None,
) -> int:
    """Train a network; Ctrl-C saves the run and says how to go on with it.

    Data, recipe and seed decide the batches, the initial weights and what dropout drops, in every framework the same.
    --set takes any field of the network's config, of the recipe and of the augmentation, and label_map=255:1,
    reduce_zero_label=true, palette_labels and label_orientation: how label files are read.

    \b
    Examples:
      danet train --data cityscapes:/data/cityscapes --backend torch --out run --recipe official-cityscapes
      danet train --data camvid:camvid --backend jax --out run --network danet_r18 --backbone resnet18.pth
      danet train --data scenes --backend tf --out run --network danet_tiny --set steps=400 --set optimizer=adamw
      danet train --resume run --backend jax --stop-after 200
    """
    from danet_cli.train.display import summarise
    from danet_common.training import RunFolder, StopReason

    require_packages()
    limit_pixels(max_pixels)
    asked = Asked(
        data=data,
        split=split,
        val=val,
        val_split=val_split,
        network=network,
        recipe=recipe,
        backbone=backbone,
        settings=settings or [],
        log_every=log_every,
        save_every=save_every,
        validate_every=validate_every,
        weights_key=weights_key,
    )
    if resume is None:
        if data is None or backend is None or out is None:
            raise typer.BadParameter("a new run needs --data, --backend and --out; --resume RUN goes on with one")
        folder = RunFolder(out)
        folder.require_new()
        plan, training = begin(asked)
        read = lambda: (plan, training)  # noqa: E731
        chosen: Any = backend
    else:
        if out is not None:
            raise typer.BadParameter("--out is for a new run; --resume RUN goes on in RUN")
        folder = RunFolder(resume)
        plan, training = go_on(folder, asked, whole=False)
        refuse_passed(plan, folder, training.step, stop_after)
        read = partial(go_on, folder, asked)
        chosen = backend or framework_of(folder, training)
    run, ending = drive(plan, folder, read, chosen, resume is None, stop_after, threads, workers)
    if run.is_first:
        summarise(run.plan, folder, chosen, run, ending)
    return ExitCode.INTERRUPTED if ending is StopReason.INTERRUPTED else ExitCode.DONE


def framework_of(folder: RunFolder, training: TrainingCheckpoint) -> str:
    """Which framework a run was last in. Raises Unable where its checkpoint does not say."""
    if "backend" not in training.source:
        raise CommandError(f"{folder.last} does not say in which framework the run was; choose one with --backend")
    return str(training.source["backend"])


def require_packages() -> None:
    """Raise Unable, before any work, where a package is absent."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise CommandError(f"training needs {', '.join(absent)}, which is not installed: pip install 'danet[train]'")


def refuse_passed(plan: RunPlan, folder: RunFolder, step: int, stop_after: int | None) -> None:
    """Raise Unable where a finished run is to train longer, with the line that does it."""
    if stop_after is not None and stop_after > plan.recipe.steps == step:
        longer = f"danet train --resume {shlex.quote(str(folder.root))} --set steps={stop_after}"
        raise CommandError(f"--stop-after {stop_after}: the run ended at step {step}. To train longer: {longer}")


def say_where_it_ends(plan: RunPlan, folder: RunFolder, step: int, stop_after: int | None) -> None:
    """Note what of the options is not what the run was begun with, or has no effect."""
    before, steps = folder.read_plan().recipe.steps, plan.recipe.steps
    if steps != before:
        print_note(f"steps={steps}: they were {before}; from step {step} on the learning rate follows the new schedule")
    if stop_after is not None and stop_after <= step:
        print_note(f"--stop-after {stop_after}: nothing to train, the run is at step {step} already")
    elif stop_after is not None and stop_after > steps:
        longer = f"danet train --resume {shlex.quote(str(folder.root))} --set steps={stop_after}"
        print_note(f"--stop-after {stop_after}: the run ends at step {steps}. To train longer: {longer}")


Read = Callable[[], "tuple[RunPlan, TrainingCheckpoint]"]


def drive(
    plan: RunPlan,
    folder: RunFolder,
    read: Read,
    backend: BackendName,
    new: bool,
    stop_after: int | None,
    threads: int,
    workers: int,
) -> tuple[Trainer, StopReason]:
    """Train in one framework until the run ends.

    read  returns the run as it is when no other process can change it any more
    """
    from danet_cli.train.display import describe, open_display
    from danet_common.training import Callback, Trainer, data_state

    learned, validated = open_data(plan, None if new else folder)
    require_same_classes(plan, learned, validated)
    if plan.recipe.dtype == "float64":
        os.environ["JAX_ENABLE_X64"] = "1"  # JAX reads it when it is imported
    framework, engine = join(backend)
    leads = engine.process_index == 0
    with naming_folder(folder), ExitStack() as held:
        if not new:
            in_first(engine, lambda: held.enter_context(folder.held()))
        plan, training = read()
        loader = open_loader(plan, learned, engine, threads, workers)
        in_first(engine, lambda: check_data(plan, learned, validated))
        if new:
            training.data, training.source = data_state(loader, validated), {"backend": backend}
            in_first(engine, lambda: held.enter_context(folder.created(plan, training)))
        if leads:
            describe(plan, folder, backend, engine, training, learned, validated)
            say_where_it_ends(plan, folder, training.step, stop_after)
        until = min(stop_after or plan.recipe.steps, plan.recipe.steps)
        with open_display(plan, training, until) if leads else Callback() as watcher:
            run = Trainer(plan, folder, framework, engine, training, loader, validated, watcher)
            try:
                if leads:
                    folder.set_steps(plan.recipe.steps)
                with saying_shortage(TAKES_LESS):
                    ending = run.train(stop_after)
            finally:
                run.close()
    engine.close()  # not after an error: the others may never come
    return run, ending


def open_data(plan: RunPlan, folder: RunFolder | None) -> tuple[Dataset, Dataset | None]:
    """What is learned from, and what is validated with. Raises DataError; of a resumed run it names the file."""
    from danet_common.data import DataError, open_dataset

    def opened(field: str, spec: str, split: str) -> Dataset:
        try:
            return open_dataset(spec, split, plan.labels)
        except DataError as error:
            if folder is None and field == "val":
                first, *others = error.faults
                hint = "--val-split NAME validates with another, --val none with none"
                raise DataError(f"{first}; {hint}", *others) from None
            if folder is None or spec != getattr(folder.read_plan(), field):
                raise
            raise DataError(f"{folder.plan}: {field}: {error}") from None

    learned = opened("data", plan.data, plan.split)
    return learned, None if plan.val is None else opened("val", plan.val, plan.val_split)


def in_first(engine: Any, action: Callable[[], object]) -> None:
    """Do something in the first process, before any other goes on. Raises in all where it fails."""
    import numpy as np

    failure: Exception | None = None
    if engine.process_index == 0:
        try:
            action()
        except (ValueError, OSError) as error:
            failure = error
    failed = bool(engine.sum(np.array([int(failure is not None)]))[0])
    if failure is not None:
        raise failure
    if failed:
        raise CommandError("the first process of this run ended with an error")


def check_data(plan: RunPlan, learned: Dataset, validated: Dataset | None) -> None:
    """Look into all label files, and note what they hold. Raises DataError for what cannot be learned or judged."""
    from danet_common.data.census import absent_remark
    from danet_common.data.files import FileDataset

    census = learned.check(log=print_note)
    remark = None if census is None else absent_remark(learned.title, learned.names, census)
    if remark is not None:
        print_note(remark)
    if validated is None:
        return
    if isinstance(learned, FileDataset) and isinstance(validated, FileDataset) and learned.pairs == validated.pairs:
        print_note(f"{validated.title}: the very pictures that are learned from; the mIoU says nothing about others")
    else:
        validated.check(log=print_note)


@contextmanager
def naming_folder(folder: RunFolder) -> Iterator[None]:
    """The error of a full disk names no file: here it names the run's folder."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(folder.root)) from None


def require_same_classes(plan: RunPlan, learned: Dataset, validated: Dataset | None) -> None:
    """Raise Unable where a run would go on with other classes, or the network could not be judged by what it learns."""
    if learned.names != plan.config.class_names:
        raise CommandError(f"the classes of {learned.title} are not those that the run was begun with")
    if validated is not None and validated.names != learned.names:
        raise CommandError(f"the classes of {validated.title} are not those of {learned.title}")


def open_loader(plan: RunPlan, dataset: Dataset, engine: Any, threads: int, workers: int) -> Loader:
    """This process's part of the batches. Raises ValueError, before a folder is made, where they cannot be parted."""
    from danet_common.data import Loader, Sampler
    from danet_common.training.sharing import check_shares

    recipe, processes = plan.recipe, engine.process_count
    check_shares(recipe, engine.device_count)
    shard = {"shard_index": engine.process_index, "shard_count": processes}
    order = Sampler(count=len(dataset), batch_size=recipe.batch_size // processes, seed=recipe.seed, **shard)
    return Loader(dataset, plan.augmentation, plan.config, order, threads=threads, workers=workers)


def join(backend: BackendName) -> tuple[Framework, Any]:
    """The functions of a framework that training calls, and its engine, joined with the other processes."""
    from danet_common.training import Framework

    package = import_backend(backend)
    names = ("training.distributed", "training.state", "training.step", "parameters")
    engine, resume, step, weights = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    framework = Framework(
        name=backend,
        restore=resume.restore,
        capture=resume.capture,
        train_step=step.train_step,
        from_checkpoint=partial(build, package),
        set_tensors=weights.set_tensors,
        predict_logits=package.predict_logits,
    )
    return framework, engine.init_distributed()

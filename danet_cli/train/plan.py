"""Make the plan of a run from options, published recipes, data and checkpoints."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer

import weights_convert
from danet_cli.backend import BackendName
from danet_cli.console import CommandError, print_note
from danet_cli.settings import Changes, training_settings
from danet_common import VARIANTS, DANetConfig, __version__, initial_tensors
from danet_common.config.network import FROM_THE_DATA
from danet_common.config.recipe import TrainConfig
from danet_common.config.recipes import Recipe, get_recipe
from danet_common.data import Augmentation, Dataset, LabelSettings, open_dataset
from danet_common.training.folder import RunFolder
from danet_common.training.initial_state import fine_tuned
from danet_common.training.plan import Intervals, RunPlan, placed
from danet_common.training.training_checkpoint import TrainingCheckpoint, initial_state

LARGEST_CROP = 768  # pixels, each side, without a recipe or --set: the paper's
DEFAULT_NETWORK = "danet_r50"
LOG_EVERY, SAVE_EVERY, VALIDATIONS = 10, 500, 20


@dataclass(frozen=True)
class RunOptions:
    """The options that define a run; None where they were left out."""

    data: str | None
    split: str | None = None
    val: str | None = None
    val_split: str | None = None
    network: str | None = None
    recipe: str | None = None
    backbone: Path | None = None
    settings: Sequence[str] = ()
    log_every: int | None = None
    save_every: int | None = None
    validate_every: int | None = None
    weights_key: str | None = None


class Run(NamedTuple):
    """A run to drive. `read` returns its present state, once no other process can change the run."""

    plan: RunPlan
    folder: RunFolder
    read: Callable[[], tuple[RunPlan, TrainingCheckpoint]]
    backend: BackendName
    is_new: bool


def make_plan(options: RunOptions) -> tuple[RunPlan, Callable[[], TrainingCheckpoint]]:
    """Return the plan of a new run, and the function that makes its initial state. Raises for impossible options."""
    assert options.data is not None
    split = options.split or "train"
    config_changes, recipe_changes, augmentation_changes, label_changes = training_settings(options.settings)
    labels = LabelSettings(**label_changes)
    published = None if options.recipe is None else get_recipe(options.recipe)
    recipe = (TrainConfig() if published is None else published.train).replace(**recipe_changes)
    dataset = open_dataset(options.data, split, labels)
    network = options.network or (DEFAULT_NETWORK if published is None else published.networks[0])
    network_key, backbone_key = weights_keys(options)
    config, make_tensors = network_of(network, dataset, config_changes, recipe, network_key)
    if options.recipe is not None and published is not None:
        note_network(options.recipe, published, network, config)
        note_split(options.recipe, published, options.data.partition(":")[0], split)
    val = None if options.val == "none" else options.val or options.data
    plan = RunPlan(
        data=placed(options.data),
        split=split,
        val=None if val is None else placed(val),
        val_split=options.val_split or "val",
        network=network,
        backbone=None if options.backbone is None else str(options.backbone),
        recipe_name=options.recipe,
        config=config,
        recipe=recipe,
        augmentation=augmentation_of(published, dataset, augmentation_changes),
        intervals=Intervals(
            log=options.log_every or LOG_EVERY,
            save=options.save_every or SAVE_EVERY,
            validate=options.validate_every or max(1, recipe.steps // VALIDATIONS),
        ),
        version=__version__,
        labels=labels,
    )

    def make_state() -> TrainingCheckpoint:
        return initial_state(config, recipe, with_backbone(options.backbone, config, make_tensors(), backbone_key))

    return plan, make_state


def weights_keys(options: RunOptions) -> tuple[str | None, str | None]:
    """Return `--weights-key` for --network's file and for --backbone's. Raises BadParameter where it is ambiguous."""
    is_file = options.network is not None and options.network not in VARIANTS
    if options.weights_key is not None and is_file == (options.backbone is not None):
        raise typer.BadParameter(
            "--weights-key is for one file, --network's or --backbone's; of two, convert one first: "
            "danet convert FILE weights.safetensors --weights-key KEY"
        )
    return (options.weights_key, None) if is_file else (None, options.weights_key)


def network_of(
    name: str, dataset: Dataset, changes: Changes, recipe: TrainConfig, weights_key: str | None = None
) -> tuple[DANetConfig, Callable[[], dict[str, np.ndarray]]]:
    """Return the network for a data set, and the function that makes its tensors: initial, or a checkpoint's."""
    changes = changes | {
        "num_classes": dataset.num_classes,
        "class_names": dataset.names,
        "palette": dataset.palette,
    }
    if name in VARIANTS:
        config = VARIANTS[name].replace(**changes)
        return config, partial(initial_tensors, config, recipe.seed, recipe.initialisation)
    if not Path(name).exists():
        raise CommandError(f"--network {name}: no such file, and no variant; variants are {', '.join(VARIANTS)}")
    log = log_about(name)
    checkpoint = weights_convert.read(name, report=log, weights_key=weights_key)
    config = checkpoint.config.replace(**changes)
    return config, partial(fine_tuned, checkpoint, config, recipe.seed, log, recipe.initialisation)


def log_about(file: str | Path) -> Callable[[str], None]:
    """Return a function that prints notes about a file."""
    return lambda line: print_note(f"{file}: {line}")


def note_network(name: str, published: Recipe, network: str, config: DANetConfig) -> None:
    """Note if the recipe was published with this network, and the fields that differ."""
    data_fields = {field: getattr(config, field) for field in FROM_THE_DATA}
    differing = {}
    for variant in published.networks:
        own = VARIANTS[variant].replace(**data_fields).to_dict()
        differing[variant] = [field for field, value in config.to_dict().items() if own[field] != value]
    nearest = min(differing, key=lambda variant: len(differing[variant]))
    if not differing[nearest]:
        print_note(f"recipe {name}: for {published.data}, with its own network, {network}")
        return
    print_note(
        f"recipe {name}: {network} is not its network; its own is {' or '.join(published.networks)}; "
        f"differs from {nearest} in {', '.join(differing[nearest])}"
    )


def note_split(name: str, published: Recipe, data: str, split: str) -> None:
    """Note if the recipe uses another split of the same data set, such as voc's train_aug."""
    recipe_data, _, recipe_split = published.data.partition(" ")
    if data == recipe_data and split != recipe_split:
        print_note(f"recipe {name}: the split is {split}; --split {recipe_split} takes the recipe's")


def with_backbone(
    file: Path | None, config: DANetConfig, tensors: dict[str, np.ndarray], weights_key: str | None = None
) -> dict[str, np.ndarray]:
    """Return the tensors with those of a backbone file, if there is one."""
    return (
        tensors if file is None else weights_convert.fill_backbone(config, tensors, file, log_about(file), weights_key)
    )


def augmentation_of(published: Recipe | None, dataset: Dataset, changes: Changes) -> Augmentation:
    """Return the recipe's augmentation, or the paper's with a crop no larger than the images."""
    if published is not None:
        return dataclasses.replace(published.augmentation, **changes)
    if "crop" not in changes:
        height, width = (min(side, LARGEST_CROP) for side in dataset.item(0).labels.shape)
        print_note(
            f"crop={height}x{width}: the first image's size, at most {LARGEST_CROP}; --set crop=HxW chooses another"
        )
        changes = changes | {"crop": (height, width)}
    return Augmentation(**changes)


def resume_plan(
    folder: RunFolder, options: RunOptions, read_tensors: bool = True
) -> tuple[RunPlan, TrainingCheckpoint]:
    """Return a run in its present state; the data may have moved, and the number of steps may grow.

    read_tensors  False: read only the headers of the files

    Raises for options that would change the run otherwise.
    """
    moved: dict[str, Any] = {name: placed(spec) for name in ("data", "val") if (spec := getattr(options, name))}
    names = [field.name for field in dataclasses.fields(options) if getattr(options, field.name)]
    refused = [f"--{name.replace('_', '-')}" for name in names if name not in (*moved, "settings")]
    if refused:
        raise typer.BadParameter(f"a run keeps its options; --resume takes no {', '.join(refused)}")
    steps = resumed_steps(options.settings)
    plan = folder.read_plan()
    if "val" in moved and plan.val is None:
        raise CommandError(f"--val: {folder.root} was begun without validation")
    training = folder.read_last(plan) if read_tensors else folder.open_last(plan)
    if steps is not None:
        if steps <= training.step:
            raise CommandError(f"--set steps={steps}: the run is at step {training.step}; give more to train longer")
        recipe = plan.recipe.replace(steps=steps)
        plan, training = dataclasses.replace(plan, recipe=recipe), dataclasses.replace(training, recipe=recipe)
    return dataclasses.replace(plan, **moved), training


def resumed_steps(settings: Sequence[str]) -> int | None:
    """Return the new number of steps of a resumed run, or None. Raises BadParameter for any other setting."""
    changes = training_settings(settings)
    refused = [name for group in changes for name in group if name != "steps"]
    if refused:
        raise typer.BadParameter(f"--set {refused[0]}: a run keeps its settings; --resume takes --set steps=N")
    return changes[1].get("steps")


def longer_run(folder: RunFolder, steps: int) -> str:
    """Return the command that gives a run more steps."""
    return shlex.join(["danet", "train", "--resume", str(folder.root), "--set", f"steps={steps}"])

"""What `danet train` was asked, brought together from options, named recipes, data and checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from danet_cli.console import CommandError, print_note
from danet_cli.settings import training_settings

if TYPE_CHECKING:
    import numpy as np

    from danet_common import DANetConfig
    from danet_common.config.recipe import TrainConfig
    from danet_common.config.recipes import Recipe
    from danet_common.data import Augmentation, Dataset
    from danet_common.training import RunFolder, RunPlan
    from danet_common.training.training_checkpoint import TrainingCheckpoint

LARGEST_CROP = 768  # each side of a training picture, where neither a recipe nor --set says: the paper's
DEFAULT_NETWORK = "danet_r50"  # where neither --network nor a recipe says
LOG_EVERY, SAVE_EVERY, VALIDATIONS = 10, 500, 20


@dataclass(frozen=True)
class Asked:
    """The options that say what a run is; None where they were left out."""

    data: str | None
    split: str | None
    val: str | None
    val_split: str | None
    network: str | None
    recipe: str | None
    backbone: Path | None
    settings: list[str]
    log_every: int | None
    save_every: int | None
    validate_every: int | None
    weights_key: str | None = None


def begin(asked: Asked) -> tuple[RunPlan, TrainingCheckpoint]:
    """A new run and its state before the first step. Raises for anything that cannot be, before any work is done."""
    plan, draw = make_plan(asked)
    return plan, draw()


def make_plan(asked: Asked) -> tuple[RunPlan, Callable[[], TrainingCheckpoint]]:
    """A new run, and what makes its state before the first step. Raises as `begin` does."""
    from danet_common import __version__
    from danet_common.config.recipe import TrainConfig
    from danet_common.config.recipes import get_recipe
    from danet_common.data import LabelSettings, open_dataset
    from danet_common.training import Intervals, RunPlan
    from danet_common.training.plan import placed
    from danet_common.training.training_checkpoint import initial_state

    assert asked.data is not None
    of_config, of_recipe, of_augmentation, of_labels = training_settings(asked.settings)
    labels = LabelSettings(**of_labels)
    published = None if asked.recipe is None else get_recipe(asked.recipe)
    recipe = (TrainConfig() if published is None else published.train).replace(**of_recipe)
    dataset = open_dataset(asked.data, asked.split or "train", labels)
    check_class_weights(recipe, dataset)
    named = asked.network or (DEFAULT_NETWORK if published is None else published.networks[0])
    key_of_network, key_of_backbone = keys_of(asked)
    config, draw = network_of(named, dataset, of_config, recipe, key_of_network)
    if asked.recipe is not None and published is not None:
        say_network(asked.recipe, published, named, config)
        say_data(asked.recipe, published, asked.data.partition(":")[0], asked.split or "train")
    val = None if asked.val == "none" else asked.val or asked.data
    every = asked.validate_every or max(1, recipe.steps // VALIDATIONS)
    plan = RunPlan(
        data=placed(asked.data),
        split=asked.split or "train",
        val=None if val is None else placed(val),
        val_split=asked.val_split or "val",
        network=named,
        backbone=None if asked.backbone is None else str(asked.backbone),
        recipe_name=asked.recipe,
        config=config,
        recipe=recipe,
        augmentation=augmentation_of(published, dataset, of_augmentation),
        intervals=Intervals(log=asked.log_every or LOG_EVERY, save=asked.save_every or SAVE_EVERY, validate=every),
        version=__version__,
        labels=labels,
    )
    return plan, lambda: initial_state(config, recipe, with_backbone(asked.backbone, config, draw(), key_of_backbone))


def keys_of(asked: Asked) -> tuple[str | None, str | None]:
    """`--weights-key` for --network's file, and for --backbone's. Raises BadParameter where it is clear for neither."""
    from danet_common import VARIANTS

    is_file = asked.network is not None and asked.network not in VARIANTS
    if asked.weights_key is not None and is_file == (asked.backbone is not None):
        raise typer.BadParameter(
            "--weights-key is for one file, --network's or --backbone's; of two, convert one first: "
            "danet convert FILE weights.safetensors --weights-key KEY"
        )
    return (asked.weights_key, None) if is_file else (None, asked.weights_key)


def check_class_weights(recipe: TrainConfig, dataset: Dataset) -> None:
    """Raise Unable unless there is one weight for each class."""
    if recipe.class_weights is not None and len(recipe.class_weights) != dataset.num_classes:
        raise CommandError(
            f"class_weights has {len(recipe.class_weights)} items; {dataset.title} has {dataset.num_classes}"
        )


def network_of(
    named: str, dataset: Dataset, changes: dict[str, Any], recipe: TrainConfig, weights_key: str | None = None
) -> tuple[DANetConfig, Callable[[], dict[str, np.ndarray]]]:
    """The network for a data set, and what makes its tensors: drawn, or a checkpoint's."""
    import weights_convert
    from danet_common import VARIANTS, initial_tensors
    from danet_common.training import fine_tuned

    changes = changes | {
        "num_classes": dataset.num_classes,
        "class_names": dataset.names,
        "palette": dataset.palette,
    }
    if named in VARIANTS:
        config = VARIANTS[named].replace(**changes)
        return config, partial(initial_tensors, config, recipe.seed, recipe.initialisation)
    if not Path(named).exists():
        raise CommandError(f"--network {named}: no such file, and no variant; variants are {', '.join(VARIANTS)}")
    checkpoint = weights_convert.read(
        named, report=lambda line: print_note(f"{named}: {line}"), weights_key=weights_key
    )
    config = checkpoint.config.replace(**changes)
    log = lambda line: print_note(f"{named}: {line}")  # noqa: E731
    return config, partial(fine_tuned, checkpoint, config, recipe.seed, log, recipe.initialisation)


def say_network(name: str, published: Recipe, named: str, config: DANetConfig) -> None:
    """Print whether the network is one that the recipe was published with."""
    from danet_common import VARIANTS
    from danet_common.config import FROM_THE_DATA

    of_data = {field: getattr(config, field) for field in FROM_THE_DATA}
    theirs = {variant: VARIANTS[variant].replace(**of_data).to_dict() for variant in published.networks}
    ours = config.to_dict()
    if ours in theirs.values():
        print_note(f"recipe {name}: for {published.data}, with its own network, {named}")
        return
    nearest = min(theirs, key=lambda variant: sum(theirs[variant][field] != ours[field] for field in ours))
    differing = ", ".join(field for field in ours if theirs[nearest][field] != ours[field])
    print_note(
        f"recipe {name}: {named} is not its network; its own is {' or '.join(published.networks)}; "
        f"differs from {nearest} in {differing}"
    )


def say_data(name: str, published: Recipe, data: str, split: str) -> None:
    """Print where a recipe's data set is learned from by another split than the recipe's, such as voc's train_aug."""
    theirs, _, their_split = published.data.partition(" ")
    if data == theirs and split != their_split:
        print_note(f"recipe {name}: the split is {split}; --split {their_split} takes the recipe's")


def with_backbone(
    file: Path | None, config: DANetConfig, tensors: dict[str, np.ndarray], weights_key: str | None = None
) -> dict[str, np.ndarray]:
    """The tensors with a file's backbone among them, if one was asked for."""
    from weights_convert import fill_backbone

    if file is None:
        return tensors
    return fill_backbone(config, tensors, file, lambda line: print_note(f"{file}: {line}"), weights_key)


def augmentation_of(published: Recipe | None, dataset: Dataset, changes: dict[str, Any]) -> Augmentation:
    """The recipe's own where it is a published one; else the paper's, with a crop no larger than the pictures."""
    from danet_common.data import Augmentation

    if published is not None:
        return dataclasses.replace(published.augmentation, **changes)
    if "crop" not in changes:
        height, width = (min(side, LARGEST_CROP) for side in dataset.item(0).labels.shape)
        print_note(
            f"crop={height}x{width}: the first picture's size, at most {LARGEST_CROP}; --set crop=HxW chooses another"
        )
        changes = changes | {"crop": (height, width)}
    return Augmentation(**changes)


def go_on(folder: RunFolder, asked: Asked, whole: bool = True) -> tuple[RunPlan, TrainingCheckpoint]:
    """A run where it is; the data may lie elsewhere now, and the steps be others.

    whole  read the tensors; else only what the files say of them

    Raises for options that would make another run of it.
    """
    from danet_common.training.plan import placed

    moved: dict[str, Any] = {name: placed(spec) for name in ("data", "val") if (spec := getattr(asked, name))}
    given = [field.name for field in dataclasses.fields(asked) if getattr(asked, field.name)]
    refused = [f"--{name.replace('_', '-')}" for name in given if name not in (*moved, "settings")]
    if refused:
        raise typer.BadParameter(f"a run goes on as it was begun; --resume takes no {', '.join(refused)}")
    steps = resumed_steps(asked.settings)
    plan = folder.read_plan()
    if "val" in moved and plan.val is None:
        raise CommandError(f"--val: {folder.root} was begun without validation")
    training = folder.read_last(plan) if whole else folder.open_last(plan)
    if steps is not None:
        if steps <= training.step:
            raise CommandError(f"--set steps={steps}: the run is at step {training.step}; give more to train longer")
        recipe = plan.recipe.replace(steps=steps)
        plan, training = dataclasses.replace(plan, recipe=recipe), dataclasses.replace(training, recipe=recipe)
    return dataclasses.replace(plan, **moved), training


def resumed_steps(settings: list[str]) -> int | None:
    """How many steps a run that is resumed is to have; None: as many as before. Raises for any other setting."""
    changes = training_settings(settings)
    refused = [name for group in changes for name in group if name != "steps"]
    if refused:
        raise typer.BadParameter(f"--set {refused[0]}: a run keeps what it began with; --resume takes --set steps=N")
    return changes[1].get("steps")

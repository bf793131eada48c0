"""Training: twenty steps are the same in the three frameworks, whichever of them does which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import DANetConfig
from danet_common.config.recipe import TrainConfig
from danet_common.training.training_checkpoint import TrainingCheckpoint, read_training, slot_shapes, write_training
from shared_tests.fixtures.cases import TINY
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_tensors
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.workers.backends import BACKENDS, Worker
from shared_tests.workers.protocol import Groups

STEPS = 20
AGREEMENT = 1e-9  # of a tensor's largest value, after up to 20 steps in float64
HEIGHT, WIDTH, BATCH = 33, 41, 4

# Everything that can differ is on: dropout, a changing rate, coupled decay, clipping, averages, parts, an aux head.
RECIPE = TrainConfig(
    steps=25,
    batch_size=BATCH,
    seed=7,
    learning_rate=2e-3,
    min_learning_rate=1e-5,
    warmup_steps=3,
    weight_decay=1e-3,
    clip_norm=2.0,
    ema_decay=0.9,
    position_weight=0.4,
    class_weights=tuple(0.5 + 0.1 * index for index in range(TINY.num_classes)),
)
CONFIG = TINY.replace(auxiliary="fcn", auxiliary_channels=10, dropout_rate=0.3)

Train = Callable[..., tuple[dict[str, np.ndarray], Path]]


def pictures(count: int = 3 * BATCH) -> Groups:
    """Noise, and labels with some void; three batches of them."""
    image = synthetic_array("training:image", (count, HEIGHT, WIDTH, 3))
    classes = np.abs(synthetic_array("training:labels", (count, HEIGHT, WIDTH))) * (TINY.num_classes + 2)
    labels = np.where(classes < TINY.num_classes, classes, 255).astype(np.int32)
    return {"batch": {"image": image, "labels": labels}}


def initial_state(path: Path, config: DANetConfig, recipe: TrainConfig) -> Path:
    """A run before its first step, with synthetic weights."""
    tensors = synthetic_tensors(config)
    slots = {name: np.zeros(shape) for name, shape in slot_shapes(config, recipe).items()}
    slots |= {name: tensors[name.removeprefix("average.")] for name in slots if name.startswith("average.")}
    write_training(TrainingCheckpoint(config, recipe, 0, tensors, slots, {"place": [1, 2]}), path)
    return path


def go_on(start: Start, backend: str, path: Path, steps: int, folder: Path, dtype: str = "float64") -> Groups:
    """Losses by name; each step's run is in the folder."""
    folder.mkdir(exist_ok=True)
    fields = {"start": str(path), "steps": steps, "folder": str(folder), "dtype": dtype}
    return start(backend).call_function("train", fields, pictures())


def at(folder: Path, step: int) -> dict[str, np.ndarray]:
    """All of a run's tensors after a step."""
    training = read_training(folder / f"{step}.safetensors")
    assert training.step == step
    assert training.data == {"place": [1, 2]}
    return {**training.tensors, **training.slots}


def mismatch(expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]) -> tuple[float, str]:
    """The largest difference, relative to its tensor's largest value."""
    assert actual.keys() == expected.keys()
    worst = {
        name: float(np.abs(actual[name] - value).max() / max(np.abs(value).max(), 1e-300))
        for name, value in expected.items()
    }
    name = max(worst, key=lambda name: worst[name])
    return worst[name], name


@pytest.fixture(scope="module")
def whole(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[np.ndarray, Path]]:
    """Backend -> its losses and the folder of its twenty steps; run once."""
    root = tmp_path_factory.mktemp("training")
    first = initial_state(root / "0.safetensors", CONFIG, RECIPE)
    runs: dict[str, np.ndarray] = {}

    def get(backend: str) -> tuple[np.ndarray, Path]:
        if backend not in runs:
            runs[backend] = go_on(start, backend, first, STEPS, root / backend)["losses"]["loss"]
        return runs[backend], root / backend

    return get


@pytest.mark.parametrize("backend", NETWORKS[1:])
def test_every_step_is_the_same(backend: str, whole: Any) -> None:
    (expected, folder), (losses, other) = whole("torch"), whole(backend)
    assert losses.shape == (STEPS,)
    assert np.abs(losses - expected).max() <= AGREEMENT * np.abs(expected).max()
    for step in range(1, STEPS + 1):
        worst, name = mismatch(at(folder, step), at(other, step))
        assert worst <= AGREEMENT, (step, name)


def test_the_steps_do_something(whole: Any) -> None:
    """Weights, averages, momenta and statistics all move, each step, so that their agreement says something."""
    _, folder = whole("torch")
    before = {**synthetic_tensors(CONFIG), **{f"average.{n}": v for n, v in synthetic_tensors(CONFIG).items()}}
    for step in (1, STEPS):
        after = at(folder, step)
        still = [name for name, value in after.items() if name in before and np.array_equal(value, before[name])]
        assert not still, step
        assert all(value.any() for name, value in after.items() if name.startswith("momentum."))
        before = after


@pytest.mark.parametrize(
    "order", [("torch", "jax", "tf"), pytest.param(("tf", "torch", "jax"), marks=pytest.mark.slow)], ids="-".join
)
def test_a_run_handed_over(order: Sequence[str], start: Start, whole: Any, tmp_path: Path) -> None:
    """Seven steps here, seven there, six in the third: the same as twenty in any one."""
    folder = whole(order[0])[1]
    go_on(start, order[1], folder / "7.safetensors", 7, tmp_path)
    go_on(start, order[2], tmp_path / "14.safetensors", 6, tmp_path)
    for backend in NETWORKS:
        worst, name = mismatch(at(whole(backend)[1], STEPS), at(tmp_path, STEPS))
        assert worst <= AGREEMENT, name


@pytest.mark.slow
@pytest.mark.parametrize("backend", NETWORKS)
def test_resuming_is_exact(backend: str, start: Start, tmp_path: Path) -> None:
    """In a new process, as after a kill, the rest of a run is the same bit for bit.

    A new one for both, because TensorFlow rounds by the names in its graph, and Keras numbers those by process.
    """
    first = initial_state(tmp_path / "0.safetensors", CONFIG, RECIPE)
    start(backend)  # skips where the framework is missing
    whole, microbatches = tmp_path / "whole", tmp_path / "parts"
    with Worker(BACKENDS[backend]) as fresh:
        losses = go_on(lambda _: fresh, backend, first, 4, whole)["losses"]["loss"]
    with Worker(BACKENDS[backend]) as fresh:
        rest = go_on(lambda _: fresh, backend, whole / "2.safetensors", 2, microbatches)["losses"]["loss"]
    assert np.array_equal(rest, losses[2:])
    expected, actual = at(whole, 4), at(microbatches, 4)
    assert [name for name, value in expected.items() if not np.array_equal(actual[name], value)] == []
    assert all(actual[name].dtype == value.dtype for name, value in expected.items())


# Each is compiled in three frameworks, so what does not meddle with each other shares one.
VARIATIONS = {
    "adamw, element": (
        CONFIG.replace(dropout="element", auxiliary="linear"),
        RECIPE.replace(optimizer="adamw", learning_rate=1e-4, weight_decay=0.05),
    ),
    "gradient_accumulation_steps": (CONFIG, RECIPE.replace(gradient_accumulation_steps=2, clip_norm=None)),
    "frozen_batch_norm, ohem": (
        CONFIG,
        RECIPE.replace(frozen_batch_norm=True, ema_decay=None, ohem_threshold=0.2, ohem_min_kept=300),
    ),
}
# Softmax does not see the keys' bias: its gradient is rounding noise, which adamw makes steps of full size of.
UNSEEN = "position_attention.key.bias"


@pytest.mark.slow
@pytest.mark.parametrize("variation", VARIATIONS)
def test_variations(variation: str, start: Start, tmp_path: Path) -> None:
    """Two steps in each framework, and one more in the next from what it left."""
    config, recipe = VARIATIONS[variation]
    first = initial_state(tmp_path / "0.safetensors", config, recipe)
    for backend, then in zip(NETWORKS, (*NETWORKS[1:], NETWORKS[0]), strict=True):
        go_on(start, backend, first, 2, tmp_path / backend)
        go_on(start, then, tmp_path / backend / "2.safetensors", 1, tmp_path / backend)
    for step in (1, 2, 3):
        expected, *others = [at(tmp_path / backend, step) for backend in NETWORKS]
        if recipe.optimizer == "adamw":
            expected, *others = [{n: v for n, v in run.items() if UNSEEN not in n} for run in (expected, *others)]
        for backend, actual in zip(NETWORKS[1:], others, strict=True):
            worst, name = mismatch(expected, actual)
            assert worst <= AGREEMENT, (step, backend, name)
    statistics = [name for name in expected if "running" in name]
    moved = [name for name in statistics if not np.array_equal(expected[name], synthetic_tensors(config)[name])]
    assert moved == ([] if recipe.frozen_batch_norm else statistics)

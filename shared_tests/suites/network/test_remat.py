"""Recomputation saves memory and changes no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danet_common import parameters
from danet_common.config import ContextKind
from danet_common.config.recipe import TrainConfig
from danet_common.training.sharing import REMAT_PIXELS, resolve_remat
from shared_tests.fixtures.synthetic import synthetic_array
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.training.test_training import (
    BATCH,
    CONFIG,
    HEIGHT,
    RECIPE,
    WIDTH,
    at,
    go_on,
    initial_state,
    mismatch,
    pictures,
)

# The compiler may add in another order where it has another graph: a few units in the last place of float64, times
# what a step's normalisations make of them. Eager PyTorch adds in the same order.
AGREEMENT = {"torch": 0.0, "tf": 1e-12, "jax": 1e-12}
REMATERIALISED = ("backbone.layer", "head.position_attention.", "head.channel_attention.")


@pytest.mark.parametrize("backend", ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tf", "jax"))])
@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("context", [CONFIG.context, pytest.param(("bam", "non_local"), marks=pytest.mark.slow)])
def test_no_number_changes(
    backend: str, frozen: bool, context: tuple[ContextKind, ...], start: Start, tmp_path: Path
) -> None:
    """Losses, gradients (momenta are little else), weights, running statistics and counters after two steps."""
    actual = {}
    for remat in (False, True):
        recipe = RECIPE.replace(remat=remat, clip_norm=None, frozen_batch_norm=frozen)
        folder = tmp_path / str(remat)
        first = initial_state(tmp_path / f"{remat}.safetensors", CONFIG.replace(context=context), recipe)
        losses = go_on(start, backend, first, 2, folder)["losses"]
        actual[remat] = [losses, at(folder, 1), at(folder, 2)]
    for plain, again in zip(actual[False], actual[True], strict=True):
        worst, name = mismatch(plain, again)
        assert worst <= AGREEMENT[backend], name


# JAX is asked what the compiled program holds at once: logits and their gradients too, which tell in a tiny network.
LESS = {"torch": 0.7, "jax": 0.85}
BOTH = {"config": CONFIG.to_dict(), "remat": [False, True]}


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_less_is_kept(backend: str, start: Start) -> None:
    """A block keeps its input, of the four and more tensors of that size that its gradient needs."""
    arrays = {"input": {"x": synthetic_array("remat:x", (2, 3, 129, 161)).astype(np.float32)}}
    names = ["remat", "memory_efficient"]
    kept = start(backend).call_function("kept", {**BOTH, "layers": names}, arrays)["bytes"]
    assert kept[names[0]] < LESS[backend] * kept[names[1]]


def test_all_of_it_is_recomputed(start: Start) -> None:
    """TensorFlow's graph has each convolution of the blocks and the attention a second time, and no other."""
    arrays = {"input": {"x": synthetic_array("remat:x", (1, 3, 33, 41)).astype(np.float32)}}
    fields = {"config": CONFIG.to_dict(), "layers": ["memory_efficient", "remat"]}
    actual = start("tf").call_function("kept", fields, arrays)["convolutions"]
    kernels = [name for name, parameter in parameters(CONFIG).items() if parameter.kind == "kernel"]
    assert actual["memory_efficient"] == len(kernels)
    assert actual["remat"] == len(kernels) + sum(name.startswith(REMATERIALISED) for name in kernels)


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize("asked", [None, False, True])
def test_many_pixels_are_recomputed(backend: str, asked: bool | None, start: Start, tmp_path: Path) -> None:
    """The pixels that a device computes at once decide, here half of the batch's, unless the recipe does."""
    at_once = BATCH * HEIGHT * WIDTH // 2
    first = initial_state(
        tmp_path / "0.safetensors", CONFIG, RECIPE.replace(gradient_accumulation_steps=2, remat=asked)
    )
    batch = {"batch": {name: array[:BATCH] for name, array in pictures()["batch"].items()}}
    fields = {"start": str(first), "limits": [at_once, at_once - 1]}
    actual = start(backend).call_function("decided", fields, batch)["uses_remat"]
    expected = [False, True] if asked is None else [asked, asked]
    assert [bool(actual[str(limit)]) for limit in fields["limits"]] == expected


def test_pixels_are_those_of_a_device() -> None:
    recipe, pixels = TrainConfig(batch_size=8, gradient_accumulation_steps=2), 4 * 2 * (REMAT_PIXELS + 1)
    assert resolve_remat(recipe, pixels, 4)
    assert not resolve_remat(recipe, pixels - 8, 4)
    assert not resolve_remat(recipe, None, 4)

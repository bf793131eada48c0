"""The test weights hide nothing: signals stay alive, softmaxes are selective, and each classic mistake shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from danet_common.config.parameters import parameters
from danet_common.config.variants import VARIANTS
from shared_tests import reference
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_input, synthetic_tensors
from shared_tests.reference import operations

SIZES = {"danet_tiny": (33, 47), "danet_r18": (65, 49)}
LARGE = {"danet_r50": (97, 129), "danet_r152": (41, 57)}
VISIBLE = 1e-4  # relative change of some logit; float32 agrees within 1e-5 of the reference


def entropy(attention: np.ndarray) -> float:
    """Mean entropy of the rows, 1 where they are flat and 0 where one position takes all."""
    logarithm = np.log(attention, where=attention > 0, out=np.zeros_like(attention))
    return float(-(attention * logarithm).sum(axis=-1).mean() / np.log(attention.shape[-1]))


@pytest.mark.parametrize("variant", [*SIZES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_nothing_explodes_vanishes_or_saturates(variant: str) -> None:
    config, size = VARIANTS[variant], {**SIZES, **LARGE}[variant]
    taps = reference.forward(config, synthetic_tensors(config), synthetic_input(config, 2, *size), taps="all").taps
    for name, value in taps.items():
        if name.endswith("_map"):
            # Flat, and the scores would not count; saturated, and a wrong score would not either.
            assert 0.5 < entropy(value) < 0.995, name
        elif name.endswith("_logits"):
            assert 0.7 < value.std() < 10, name
        elif name in ("channel_in", "channel_attention"):
            assert 0.05 < value.std() < 1, name
        else:
            assert 0.3 < value.std() < 10, name
        if value.ndim == 4:
            assert value.std(axis=(2, 3)).mean() > 0.05, f"{name} is the same at every pixel"


def zero(name: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda tensors: {name: np.zeros_like(tensors[name])}


def swap(one: str, other: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    def swapped(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pairs = [(one, other), (other, one)]
        return {name: tensors[name.replace(a, b)] for a, b in pairs for name in tensors if f".{a}." in f".{name}."}

    return swapped


MISTAKES = {
    "position gamma is zero": zero("head.position_attention.gamma"),
    "channel gamma is zero": zero("head.channel_attention.gamma"),
    "query bias is dropped": zero("head.position_attention.query.bias"),
    "value bias is dropped": zero("head.position_attention.value.bias"),
    "query and key are swapped": swap("query", "key"),
    "bn1 and bn2 are swapped": swap("layer2.0.bn1", "layer2.0.bn2"),
    "branches' outputs are swapped": swap("position_out", "channel_out"),
    "gammas are swapped": swap("position_attention.gamma", "channel_attention.gamma"),
}


@pytest.mark.parametrize("variant", SIZES)
def test_every_mistake_in_the_weights_moves_some_logit(variant: str) -> None:
    config = VARIANTS[variant]
    tensors, x = synthetic_tensors(config), synthetic_input(config, 2, *SIZES[variant])
    expected = reference.forward(config, tensors, x).outputs["fused"]
    for mistake, change in MISTAKES.items():
        changed = change(tensors)
        assert changed
        wrong = reference.forward(config, {**tensors, **changed}, x).outputs["fused"]
        assert np.abs(wrong - expected).max() > VISIBLE * np.abs(expected).max(), mistake


def test_key_bias_is_the_one_tensor_that_cannot_show() -> None:
    """It adds q_n . b to a whole row of energies, which the softmax ignores: so in any network."""
    config = VARIANTS["danet_tiny"]
    tensors, x = synthetic_tensors(config), synthetic_input(config, 2, 33, 47)
    changed = {**tensors, **zero("head.position_attention.key.bias")(tensors)}
    expected, actual = (reference.forward(config, chosen, x).outputs["fused"] for chosen in (tensors, changed))
    assert np.abs(actual - expected).max() < 1e-13 * np.abs(expected).max()


@pytest.mark.parametrize("variant", SIZES)
def test_flipped_channel_softmax_shows(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = VARIANTS[variant]
    tensors, x = synthetic_tensors(config), synthetic_input(config, 2, *SIZES[variant])
    expected = reference.forward(config, tensors, x).outputs["channel"]
    softmax = operations.softmax
    monkeypatch.setattr(operations, "softmax", lambda energy: softmax(-energy))
    wrong = reference.forward(config, tensors, x).outputs["channel"]
    assert np.abs(wrong - expected).max() > 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("variant", SIZES)
def test_tensors_fit_and_none_are_alike(variant: str) -> None:
    config = VARIANTS[variant]
    tensors = synthetic_tensors(config)
    assert {name: array.shape for name, array in tensors.items()} == {n: p.shape for n, p in parameters(config).items()}
    digests = {hashlib.sha256(array.tobytes()).digest() for array in tensors.values()}
    assert len(digests) == len(tensors)
    for name, array in tensors.items():
        assert array.dtype == (np.int64 if name.endswith("num_batches_tracked") else np.float32)
        assert np.all(array != 0) or array.size > 1000, name
        if name.endswith("running_var"):
            assert array.min() >= 1


def test_rule_is_the_same_everywhere() -> None:
    """Hashes recorded once: another machine, NumPy or byte order must draw the same bits."""
    config = VARIANTS["danet_tiny"]
    digest = hashlib.sha256()
    for name, array in synthetic_tensors(config).items():
        digest.update(name.encode())
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    digest.update(synthetic_input(config, 2, 33, 47).astype("<f4").tobytes())
    assert digest.hexdigest() == "5664c71f1805cf24ac8a85f78f1cb89f8d9aab56bcb7976cd9317d7ba8f3c1ee"
    assert synthetic_array("x", (3,)).tolist() == [-0.030020713806152344, -0.7206939458847046, -0.40834295749664307]

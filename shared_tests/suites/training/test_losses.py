"""The training loss and its gradients: right by the reference, and finite for every batch."""

from __future__ import annotations

import numpy as np
import pytest

from danet_common.config.recipe import TrainConfig
from shared_tests.fixtures.synthetic import synthetic_array
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.mutation.training import LOSS
from shared_tests.reference.losses import cross_entropy
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.workers.backends import Worker
from shared_tests.workers.protocol import Groups

CLASSES = 7
BOUND = 1e-10  # float64: rounding is 1e-15
PLAIN = TrainConfig(position_weight=0.4, aux_weight=0.3)


def labels(kind: str, batch: int = 3) -> np.ndarray:
    """Classes (N, 5, 6) from a rule, with the pixels of this kind among them."""
    actual = (np.arange(batch * 30).reshape(batch, 5, 6) * 5 % CLASSES).astype(np.int32)
    if kind == "void":
        actual[:] = 255
    elif kind == "one void picture":
        actual[0] = 255
    elif kind == "no class":
        actual[0, :2] = 254  # a label that no class has is void too, where the data let it through
        actual[-1, 3:] = 255
        actual[0, 4, 0] = -1
    elif kind == "imbalance":
        actual[:] = 2
        actual[0, 0, 0] = 6
    return actual


def check(worker: Worker, recipe: TrainConfig, expected: np.ndarray) -> Groups:
    """Hold one framework's losses and gradients to the reference's."""
    shape = (len(expected), CLASSES, *expected.shape[1:])
    outputs = {
        name: 4 * synthetic_array(f"logits:{name}", shape).astype(np.float64) for name in ("fused", "position", "aux")
    }
    actual = worker.call_function(
        "loss", {"recipe": recipe.to_dict()}, {"outputs": outputs, "input": {"labels": expected}}
    )
    total = 0.0
    for name, logits in outputs.items():
        value, gradient = cross_entropy(logits, expected, recipe)
        weight = recipe.output_weights[name]
        total += weight * value
        assert abs(actual["losses"][name] - value) <= BOUND, name
        assert np.abs(actual["gradients"][name] - weight * gradient).max() <= BOUND * max(1.0, np.abs(gradient).max())
    assert abs(actual["losses"]["loss"] - total) <= BOUND
    return actual


RECIPES = {
    "plain": PLAIN,
    "class ignored": PLAIN.replace(ignore_index=3),
    "class weights": PLAIN.replace(class_weights=(0.5, 1.0, 2.0, 0.0, 1.5, 0.25, 8.0)),
    "hardest": PLAIN.replace(ohem_threshold=0.05, ohem_min_kept=4),
    "threshold": PLAIN.replace(ohem_threshold=0.5, ohem_min_kept=1),
    "all hard": PLAIN.replace(ohem_threshold=0.1, class_weights=(0.5, 1.0, 2.0, 0.0, 1.5, 0.25, 8.0)),
    "all pixels": PLAIN.replace(loss_mean="all_pixels"),
    "all weighted": PLAIN.replace(loss_mean="all_pixels", class_weights=(0.5, 1.0, 2.0, 0.0, 1.5, 0.25, 8.0)),
}
# The quick tests hold each recipe to labels with void pixels, and each kind of labels to the plain recipe.
REFERENCES = [
    pytest.param(recipe, kind, id=f"{name}-{kind}", marks=[pytest.mark.slow] * (name != "plain" and kind != "no class"))
    for name, recipe in RECIPES.items()
    for kind in ("classes", "one void picture", "no class", "imbalance")
]


@pytest.mark.parametrize(("recipe", "kind"), REFERENCES)
def test_reference(worker: Worker, recipe: TrainConfig, kind: str) -> None:
    check(worker, recipe, labels(kind))


def test_single_picture(worker: Worker) -> None:
    check(worker, PLAIN, labels("classes", batch=1))


@pytest.mark.parametrize("recipe", [PLAIN, PLAIN.replace(ohem_threshold=0.7)], ids=["plain", "ohem"])
def test_all_void(worker: Worker, recipe: TrainConfig) -> None:
    actual = check(worker, recipe, labels("void"))
    assert all(value == 0 for value in actual["losses"].values())
    assert not any(gradient.any() for gradient in actual["gradients"].values())


def test_all_pixels_are_those_of_every_device_and_void_ones_too(worker: Worker) -> None:
    """A picture of which half is void has half the loss of its labelled pixels."""
    expected = labels("classes", batch=2)
    expected[:, :, :3] = 255
    mean = check(worker, PLAIN, expected)["losses"]["fused"]
    assert check(worker, PLAIN.replace(loss_mean="all_pixels"), expected)["losses"]["fused"] == pytest.approx(mean / 2)


@pytest.mark.parametrize(
    ("backend", "mutation"),
    [
        pytest.param(backend, mutation, id=f"{backend}-{mutation.name}", marks=[pytest.mark.slow] * (n % 3 != turn))
        for n, mutation in enumerate(LOSS)
        for turn, backend in enumerate(NETWORKS)
    ],
)
def test_mutation_is_caught(mutation: Mutation, backend: str, start: Start) -> None:
    worker, expected = start(backend), labels("one void picture")
    mutate(worker, mutation.sources(backend))
    try:
        with pytest.raises(AssertionError):
            check_both_means(worker, expected)
    finally:
        mutate(worker, None)


def check_both_means(worker: Worker, expected: np.ndarray) -> None:
    """Hold the losses by both divisors to the reference's."""
    for recipe in (PLAIN, PLAIN.replace(loss_mean="all_pixels")):
        check(worker, recipe, expected)


def test_kept_pixels_do_not_depend_on_floatx() -> None:
    """Keras counts in as many bits as its floatx: 80000 pixels would be 14464 in 16."""
    keras, losses = pytest.importorskip("keras"), pytest.importorskip("danet_tf.training.losses")
    before = keras.config.floatx()
    keras.config.set_floatx("float16")
    try:
        probability = np.linspace(0.1, 0.9, 90000, dtype=np.float32).reshape(1, 300, 300)
        recipe = PLAIN.replace(ohem_min_kept=80000)
        hard = losses.hard_pixels(*map(keras.ops.convert_to_tensor, (probability, probability > 0)), 0.0, recipe)
        assert np.array(hard).sum() == 80000
    finally:
        keras.config.set_floatx(before)

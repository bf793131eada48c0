"""A part of a network that is put in inference mode by its framework's own means keeps its statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import VARIANTS
from shared_tests.suites.devices.running import KERAS_WARNING

pytestmark = pytest.mark.filterwarnings(KERAS_WARNING)
CONFIG = VARIANTS["danet_tiny"].replace(dropout_rate=0.0)  # so that training and inference differ by BatchNorm only
X = np.random.default_rng(0).standard_normal((2, 3, 33, 41)).astype(np.float32)

Change = Callable[[Any], Any]  # of a network in training mode; what it returns is the network to call


def everything(model: Any) -> Any:
    return model


def backbone(model: Any) -> Any:
    return model.backbone


def one_layer(model: Any) -> Any:
    return model.backbone.layer2[0].bn1


PARTS = {"everything": everything, "backbone": backbone, "one layer": one_layer}
PREFIXES = {"everything": "", "backbone": "backbone.", "one layer": "backbone.layer2.0.bn1."}


def assert_kept(before: dict[str, np.ndarray], after: dict[str, np.ndarray], part: str) -> None:
    """The statistics of the part are as they were, and those of all else have moved."""
    statistics = [name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    kept = {name for name in statistics if np.array_equal(before[name], after[name])}
    assert kept == {name for name in statistics if name.startswith(PREFIXES[part])}


class TestKeras:
    """`trainable = False`, which puts Keras's own BatchNormalization in inference mode."""

    @pytest.mark.parametrize("part", PARTS)
    def test_copies_are_frozen_alike(self, part: str, tmp_path: Path) -> None:
        danet_tf, keras = pytest.importorskip("danet_tf"), pytest.importorskip("keras")
        model = danet_tf.DANet(CONFIG)
        PARTS[part](model).trainable = False
        model.save(tmp_path / "frozen.keras")
        for copy in (keras.models.clone_model(model), keras.models.load_model(tmp_path / "frozen.keras")):
            shapes = [[tuple(v.shape) for v in network.trainable_variables] for network in (copy, model)]
            assert shapes[0] == shapes[1]
            assert not PARTS[part](copy).trainable

    @pytest.mark.parametrize("part", PARTS)
    def test_in_a_call(self, part: str) -> None:
        danet_tf = pytest.importorskip("danet_tf")
        from danet_tf.parameters import get_tensors

        model, x = danet_tf.DANet(CONFIG), X.transpose(0, 2, 3, 1)
        PARTS[part](model).trainable = False
        before, inference = get_tensors(model), model(x, training=False)["fused"]
        trained = model(x, training=True)["fused"]
        assert_kept(before, get_tensors(model), part)
        assert np.array_equal(trained, inference) == (part == "everything")
        model.trainable = True
        assert not np.array_equal(model(x, training=True)["fused"], inference)

    @pytest.mark.parametrize("part", ["everything", pytest.param("backbone", marks=pytest.mark.slow), "one layer"])
    def test_in_fit(self, part: str) -> None:
        keras, danet_tf = pytest.importorskip("keras"), pytest.importorskip("danet_tf")
        from danet_tf.parameters import get_tensors

        model, x = danet_tf.DANet(CONFIG), X.transpose(0, 2, 3, 1)
        frozen = PARTS[part](model)
        frozen.trainable = False
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss=dict.fromkeys(CONFIG.outputs, loss))
        before, labels = get_tensors(model), np.zeros(x.shape[:3], int)
        useless = pytest.warns(UserWarning, match="does not have any trainable weights")
        with useless if part == "everything" else contextlib.nullcontext():
            model.fit(x, dict.fromkeys(CONFIG.outputs, labels), verbose=0)
        after = get_tensors(model)
        assert_kept(before, after, part)
        within = [name for name in before if name.startswith(PREFIXES[part])]
        assert all(np.array_equal(before[name], after[name]) for name in within)
        assert part == "everything" or not np.array_equal(
            before["head.fused_classifier.bias"], after["head.fused_classifier.bias"]
        )


def test_keras_hands_the_mode_down_without_an_outer_call() -> None:
    """`stateless_call`, by which Keras trains on JAX, calls no layer around the network's `call`."""
    danet_tf = pytest.importorskip("danet_tf")
    model = danet_tf.DANet(CONFIG.replace(auxiliary="fcn"))
    trainable = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]
    _, moved = model.stateless_call(trainable, fixed, X.transpose(0, 2, 3, 1), training=True)
    for variable, before, after in zip(model.non_trainable_variables, fixed, moved, strict=True):
        assert not np.array_equal(before, after), variable.path


@pytest.mark.parametrize("part", PARTS)
def test_torch(part: str) -> None:
    """`eval()` of a part keeps its statistics; `requires_grad_(False)` does not, as in torch's own layers."""
    torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
    from danet_torch.parameters import get_tensors

    model = danet_torch.DANet(CONFIG).train()
    model.requires_grad_(False)
    PARTS[part](model).eval()
    before = get_tensors(model)
    with torch.no_grad():
        model(torch.as_tensor(X))
    assert_kept(before, get_tensors(model), part)


@pytest.mark.parametrize("part", PARTS)
def test_flax(part: str) -> None:
    """`eval()` of a part, and of a view of it."""
    danet_jax = pytest.importorskip("danet_jax")
    from danet_jax.parameters import get_tensors

    model, x = danet_jax.DANet(CONFIG), X.transpose(0, 2, 3, 1)
    model.train()
    PARTS[part](model).eval()
    before = get_tensors(model)
    model(x, outputs=("fused",))
    model(x, outputs=("position", "channel"))
    assert_kept(before, get_tensors(model), part)


class TestView:
    """`nnx.view`, Flax's way to a model in another mode that shares the arrays."""

    def test_inference(self) -> None:
        nnx, danet_jax = pytest.importorskip("flax.nnx"), pytest.importorskip("danet_jax")
        model, x = danet_jax.DANet(CONFIG.replace(dropout_rate=0.1)), X.transpose(0, 2, 3, 1)
        view = nnx.view(model, deterministic=True, use_running_average=True)
        assert view.backbone.bn1.use_running_average
        assert view.head.dropout.deterministic
        assert not model.backbone.bn1.use_running_average
        assert not model.head.dropout.deterministic
        assert view.backbone.conv1.kernel is model.backbone.conv1.kernel
        seen = view(x, outputs=("fused",))["fused"]
        model.eval()
        assert np.array_equal(seen, model(x, outputs=("fused",))["fused"])

    def test_of_some_layers(self) -> None:
        nnx = pytest.importorskip("flax.nnx")
        danet_jax, layers = pytest.importorskip("danet_jax"), pytest.importorskip("danet_jax.layers")
        model = danet_jax.DANet(CONFIG.replace(dropout_rate=0.1))
        view = nnx.view(model, only=layers.Dropout, deterministic=True)
        assert view.head.dropout.deterministic
        assert not view.backbone.bn1.use_running_average
        assert "use_running_average" in nnx.view_info(model)

    def test_dropout_is_reseeded(self) -> None:
        nnx, danet_jax = pytest.importorskip("flax.nnx"), pytest.importorskip("danet_jax")
        jax = pytest.importorskip("jax")
        model = danet_jax.DANet(CONFIG.replace(dropout_rate=0.5))
        keys = []
        for seed in (1, 1, 2):
            nnx.reseed(model, dropout=seed)
            key = nnx.view(model, deterministic=False).head.dropout.rngs.key.get_value()
            keys.append(np.asarray(jax.random.key_data(key)))
        assert np.array_equal(keys[0], keys[1])
        assert not np.array_equal(keys[0], keys[2])

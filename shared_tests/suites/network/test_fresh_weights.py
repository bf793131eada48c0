"""Fresh networks by each framework's own means: real weights, of the right distributions, by its generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from danet_common import VARIANTS, DANetConfig, parameters
from danet_common.numerics.initialisation import initial_distribution
from danet_common.numerics.initialisation_scope import initialisation_scope, skip_initialisation
from shared_tests.suites.conftest import NETWORKS
from shared_tests.suites.devices.running import KERAS_WARNING

pytestmark = pytest.mark.filterwarnings(KERAS_WARNING)
TINY = VARIANTS["danet_tiny"]
# Every kind of tensor that does not start as its framework would start it.
CONFIG = TINY.replace(context=("position", "non_local"), decoder="gating", auxiliary="fcn")


def assert_drawn(config: DANetConfig, tensors: Mapping[str, np.ndarray]) -> None:
    """Each tensor has the values of its distribution: its bound, its deviation or its constant."""
    table = parameters(config)
    assert tensors.keys() == table.keys()
    for name, tensor in tensors.items():
        distribution = initial_distribution(name, table)
        if distribution.kind == "constant":
            assert (tensor == distribution.size).all(), name
            continue
        if distribution.kind == "uniform":
            assert np.abs(tensor).max() <= np.float32(distribution.size), name
        deviation = distribution.size / (np.sqrt(3) if distribution.kind == "uniform" else 1)
        error = 4 / np.sqrt(2 * tensor.size)  # four standard errors of a deviation
        assert tensor.size < 20 or abs(tensor.std() / deviation - 1) < error, name
        assert tensor.any(), name


def differing(some: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> set[str]:
    """Names of the tensors that are not equal."""
    return {name for name, tensor in some.items() if not np.array_equal(tensor, others[name])}


def random_names(config: DANetConfig) -> set[str]:
    """Names of the tensors that are drawn, and not constant."""
    table = parameters(config)
    return {name for name in table if initial_distribution(name, table).kind != "constant"}


@pytest.mark.parametrize("backend", NETWORKS)
def test_a_seed_gives_one_network_in_every_layer_set(backend: str) -> None:
    """Folded layers compute what those with BatchNorm do, also where nothing was loaded."""
    package = pytest.importorskip(f"danet_{backend}")
    pictures = np.random.default_rng(0).standard_normal((1, 33, 47, 3), np.float32)
    plain, folded = (
        package.predict_logits(package.DANet(TINY, seed=3, layers=layers), pictures)
        for layers in ("plain", "cpu_inference")
    )
    assert np.abs(folded - plain).max() <= 1e-5 * np.abs(plain).max()  # float32 rounding; drawn biases gave 0.09


class TestTorch:
    """`reset_parameters`, which `Module.apply`, FSDP and `to_empty` rely on."""

    @staticmethod
    def reset(model: Any) -> dict[str, np.ndarray]:
        from danet_torch.parameters import get_tensors

        model.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
        return get_tensors(model)

    def test_every_tensor_is_drawn_anew(self) -> None:
        torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
        model = danet_torch.DANet(CONFIG)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.fill_(9)
        torch.manual_seed(3)
        first = self.reset(model)
        assert_drawn(CONFIG, first)
        assert differing(first, self.reset(model)) == random_names(CONFIG)
        torch.manual_seed(3)
        assert not differing(first, self.reset(model))

    def test_a_network_made_on_the_meta_device(self) -> None:
        torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
        with torch.device("meta"):
            model = danet_torch.DANet(CONFIG)
        model.apply(lambda module: module.to_empty(device="cpu", recurse=False))
        owners = [module for module in model.modules() if {*module._parameters, *module._buffers}]
        assert all(hasattr(module, "reset_parameters") for module in owners)  # FSDP calls it on each of them
        assert_drawn(CONFIG, self.reset(model))

    def test_a_network_takes_its_seed_only(self) -> None:
        torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        danet_torch.DANet(TINY)
        assert torch.rand(1) == expected


class TestKeras:
    """`clone_model` and `from_config`, by which tuners and cross-validation make networks."""

    def test_clones_are_drawn_anew(self) -> None:
        keras, danet_tf = pytest.importorskip("keras"), pytest.importorskip("danet_tf")
        from danet_tf.parameters import get_tensors

        model = danet_tf.DANet(CONFIG)
        clones = []
        for seed in (3, 3, 4):
            keras.utils.set_random_seed(seed)
            clones.append(get_tensors(keras.models.clone_model(model)))
        assert_drawn(CONFIG, clones[0])
        assert not differing(clones[0], clones[1])
        assert differing(clones[0], clones[2]) == random_names(CONFIG)
        again = get_tensors(danet_tf.DANet.from_config(model.get_config()))
        assert differing(clones[2], again) == random_names(CONFIG)

    def test_layers_within_other_models(self) -> None:
        keras, danet_tf = pytest.importorskip("keras"), pytest.importorskip("danet_tf")
        layer = danet_tf.PositionAttention(8, 4)
        clone = keras.models.clone_model(keras.Sequential([keras.Input((None, None, 8)), layer])).layers[0]
        assert not np.array_equal(layer.query.kernel.numpy(), clone.query.kernel.numpy())
        assert np.abs(clone.query.kernel.numpy()).max() > 0.2  # of 32 values up to 1 / sqrt(8) = 0.35


def alone(backend: str, make: Callable[[Any], Any]) -> dict[str, np.ndarray]:
    """The tensors of a module that is made alone."""
    package = pytest.importorskip(f"danet_{backend}")
    weights = pytest.importorskip(f"danet_{backend}.parameters")
    return weights.get_tensors(make(package))


@pytest.mark.parametrize("backend", NETWORKS)
class TestAlone:
    """Modules that users make themselves."""

    def test_is_drawn_as_a_head(self, backend: str) -> None:
        def make(package: Any) -> Any:
            return package.context.MODULES["non_local"](64, "embedded_gaussian", False)

        tensors, others = alone(backend, make), alone(backend, make)
        assert not np.array_equal(tensors["query.weight"], tensors["key.weight"])  # of one shape
        assert not np.array_equal(tensors["query.weight"], others["query.weight"])
        for name in ("query", "value"):
            assert 0.9 / 8 < np.abs(tensors[f"{name}.weight"]).max() <= 1 / 8, name
            assert 0 < np.abs(tensors[f"{name}.bias"]).max() <= 1 / 8, name
        assert not tensors["residual_bn.weight"].any()

    def test_a_backbone_is_drawn_as_one(self, backend: str) -> None:
        backbone = pytest.importorskip(f"danet_{backend}.backbone")
        tensors = alone(backend, lambda package: backbone.ResNet(TINY))
        kernel = tensors["layer4.0.conv2.weight"]
        deviation = np.sqrt(2 / (kernel.size / kernel.shape[1]))
        assert kernel.std() == pytest.approx(deviation, rel=0.1)
        assert np.abs(kernel).max() > 3 * deviation  # normal, not uniform

    def test_zeros_where_another_fills_it(self, backend: str) -> None:
        def make(package: Any) -> Any:
            with skip_initialisation(), initialisation_scope("backbone"):
                return package.PositionAttention(8, 4)

        assert not any(tensor.any() for tensor in alone(backend, make).values())

"""Networks inside wrappers and larger models: `save`, `get_tensors` and conversions take the network in them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, CheckpointError, DANetConfig, parameters
from danet_common.numerics.precision import get_precision
from shared_tests.suites.conftest import NETWORKS
from shared_tests.suites.devices.running import KERAS_WARNING
from weights_convert.live.source import as_checkpoint

pytestmark = [
    pytest.mark.filterwarnings(KERAS_WARNING),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),  # torch's own
]
TINY = VARIANTS["danet_tiny"]


def get_tensors(backend: str, model: Any) -> dict[str, np.ndarray]:
    """The tensors of a model by canonical name."""
    tensors: dict[str, np.ndarray] = importlib.import_module(f"danet_{backend}.parameters").get_tensors(model)
    return tensors


def assert_saved(backend: str, model: Any, expected: dict[str, np.ndarray], path: Path) -> None:
    """Tensors, files and converted networks are those of the network in a model."""
    importlib.import_module(f"danet_{backend}").save(model, path)
    converted = as_checkpoint(model).tensors
    for tensors in (get_tensors(backend, model), weights_convert.read(path).tensors, converted):
        assert tensors.keys() == expected.keys()
        assert all(np.array_equal(tensors[name], array) for name, array in expected.items())


def fsdp(network: Any) -> Any:
    """Shard each block and the network in place."""
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    for block in network.backbone.layer1:
        fsdp.fully_shard(block)
    return fsdp.fully_shard(network)


def with_wrapped_parts(network: Any) -> Any:
    """Compile a block and a convolution, and checkpoint another block."""
    import torch
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    network.backbone.layer1[0] = torch.compile(network.backbone.layer1[0])
    network.backbone.conv1 = torch.compile(network.backbone.conv1)
    network.backbone.layer2[0] = checkpoint_wrapper(network.backbone.layer2[0])
    return network


def module_of_a_user(network: Any) -> Any:
    """Hold the network in an attribute, beside another layer, as a LightningModule does."""
    import torch

    model = torch.nn.Module()
    model.layer, model.network = torch.nn.Conv2d(1, 1, 1), network
    return model


def averaged(network: Any) -> Any:
    return importlib.import_module("torch.optim.swa_utils").AveragedModel(network)


def data_parallel(network: Any) -> Any:
    return importlib.import_module("torch").nn.DataParallel(network)


def distributed(network: Any) -> Any:
    return importlib.import_module("torch.nn.parallel").DistributedDataParallel(network)


def compiled_twice(network: Any) -> Any:
    return importlib.import_module("torch").compile(distributed(network))


WRAPPERS: list[Callable[[Any], Any]] = [
    averaged, data_parallel, distributed, compiled_twice, fsdp, with_wrapped_parts, module_of_a_user
]  # fmt: skip


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    distributed = pytest.importorskip("torch.distributed")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("wrap", WRAPPERS, ids=lambda wrap: wrap.__name__)
def test_wrappers_of_pytorch(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    network = pytest.importorskip("danet_torch").DANet(TINY)
    expected = get_tensors("torch", network)
    assert_saved("torch", wrap(network), expected, tmp_path / "x.safetensors")


@pytest.mark.parametrize("kind", ["functional", "sequential", "subclass", "layer"])
def test_models_of_keras(kind: str, tmp_path: Path) -> None:
    keras, danet_tf = pytest.importorskip("keras"), pytest.importorskip("danet_tf")
    network, inputs = danet_tf.DANet(TINY), keras.Input((None, None, 3))

    def of_a_user(base: Any) -> Any:
        model = base()
        model.networks = [network]
        return model

    model = {
        "functional": lambda: keras.Model(inputs, keras.layers.Conv2D(2, 1)(network(inputs)["fused"])),
        "sequential": lambda: keras.Sequential([inputs, network]),
        "subclass": lambda: of_a_user(keras.Model),
        "layer": lambda: of_a_user(keras.layers.Layer),
    }[kind]()
    assert_saved("tf", model, get_tensors("tf", network), tmp_path / "x.safetensors")


def test_modules_of_flax(tmp_path: Path) -> None:
    nnx, danet_jax = pytest.importorskip("flax.nnx"), pytest.importorskip("danet_jax")
    network = danet_jax.DANet(TINY)
    model = nnx.Sequential(network, lambda logits: logits["fused"])
    assert_saved("jax", model, get_tensors("jax", network), tmp_path / "x.safetensors")
    assert_saved("jax", nnx.view(network, deterministic=True), get_tensors("jax", network), tmp_path / "x.safetensors")


def test_no_network_and_several(tmp_path: Path) -> None:
    torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
    two = torch.nn.ModuleList([danet_torch.DANet(TINY), danet_torch.DANet(TINY)])
    for model, count in ((torch.nn.Linear(1, 1), 0), (two, 2)):
        with pytest.raises(TypeError, match=f"must have one DANet in it; it has {count}"):
            danet_torch.save(model, tmp_path / "x.safetensors")
        with pytest.raises(TypeError, match=f"must have one DANet in it; it has {count}"):
            weights_convert.to_torch(model)


class TestReplacedClassifier:
    """A classifier of torch or Flax in the place of the network's, with other classes."""

    CONFIG = TINY.replace(auxiliary="fcn")

    @staticmethod
    def replace(backend: str, config: DANetConfig, names: list[str]) -> Any:
        network = pytest.importorskip(f"danet_{backend}").DANet(config)
        channels = config.fused_channels
        for name in names:
            if backend == "torch":
                layer = importlib.import_module("torch").nn.Conv2d(channels, 7, 1)
            else:
                nnx = importlib.import_module("flax.nnx")
                layer = nnx.Conv(channels, 7, (1, 1), rngs=nnx.Rngs(0))
            setattr(network.head, name, layer)
        return network

    @pytest.mark.parametrize("backend", ["torch", "jax"])
    def test_all(self, backend: str, tmp_path: Path) -> None:
        names = ["fused_classifier", "position_classifier", "channel_classifier"]
        network = self.replace(backend, TINY.replace(class_names=tuple("abcdefghijklmnopqrs")), names)
        importlib.import_module(f"danet_{backend}").save(network, tmp_path / "x.safetensors")
        checkpoint = weights_convert.read(tmp_path / "x.safetensors")
        assert checkpoint.config == TINY.replace(num_classes=7)
        assert all(np.array_equal(checkpoint.tensors[k], v) for k, v in get_tensors(backend, network).items())

    @pytest.mark.parametrize("backend", ["torch", "jax"])
    def test_the_fused_one(self, backend: str, tmp_path: Path) -> None:
        network, package = self.replace(backend, self.CONFIG, ["fused_classifier"]), f"danet_{backend}"
        expected = self.CONFIG.replace(num_classes=7, branch_classifiers=False, auxiliary="none")
        with pytest.warns(UserWarning, match="has 7 classes, so these tensors are not saved: head.position_classifier"):
            importlib.import_module(package).save(network, tmp_path / "x.safetensors")
        with pytest.warns(UserWarning, match="head.channel_classifier.bias, auxiliary.hidden.conv.weight"):
            converted = as_checkpoint(network)
        for checkpoint in (weights_convert.read(tmp_path / "x.safetensors"), converted):
            assert checkpoint.config == expected
            assert checkpoint.tensors.keys() == parameters(expected).keys()

    def test_another_kind_of_classifier(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        network = self.replace("torch", TINY, [])
        network.head.fused_classifier = torch.nn.Conv2d(TINY.fused_channels, 19, 3)
        with pytest.raises(CheckpointError, match=r"wrong shape: head\.fused_classifier\.weight"):
            importlib.import_module("danet_torch").save(network, tmp_path / "x.safetensors")


def dtypes_of(backend: str) -> Any:
    """The objects that a framework calls dtypes."""
    module = {"torch": "torch", "tf": "tensorflow", "jax": "jax.numpy"}[backend]
    return pytest.importorskip(module)


@pytest.mark.parametrize("backend", NETWORKS)
def test_dtypes_of_the_framework(backend: str) -> None:
    package, dtypes = pytest.importorskip(f"danet_{backend}"), dtypes_of(backend)
    for dtype in (dtypes.bfloat16, dtypes.float16, np.float32):
        network = package.DANet(TINY, dtype=dtype, seed=None)
        assert network.layer_set.precision == get_precision(dtype)
        assert get_tensors(backend, network)["backbone.conv1.weight"].dtype.name == get_precision(dtype).param_dtype
    with pytest.raises(ValueError, match="dtype must be one of float32, float64, bfloat16"):
        package.DANet(TINY, dtype=dtypes.int32)


def test_dtype_policies_of_keras() -> None:
    keras, danet_tf = pytest.importorskip("keras"), pytest.importorskip("danet_tf")
    for name in ("mixed_bfloat16", "mixed_float16", "float64"):
        assert danet_tf.DANet(TINY, dtype=keras.DTypePolicy(name), seed=None).dtype_policy.name == name


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_networks_that_a_caller_has_cast(cast: str, tmp_path: Path) -> None:
    network = getattr(copy.deepcopy(pytest.importorskip("danet_torch").DANet(TINY)), cast)()
    assert_saved("torch", network, get_tensors("torch", network), tmp_path / "x.safetensors")

"""Layer sets: their names, what they refuse, and the frameworks' ways to copy and compile networks of each."""

from __future__ import annotations

import copy
import importlib
import io
import pickle
import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest

from danet_common import VARIANTS, CheckpointError
from danet_common.config.former_arguments import FORMER
from danet_common.config.layer_names import LayersName, require_trainable, resolve_layers
from danet_common.numerics import chunks
from danet_common.numerics.precision import get_precision
from shared_tests.parity.check_case import CheckpointOf
from shared_tests.suites.conftest import NETWORKS
from shared_tests.suites.devices.running import KERAS_WARNING

TINY = VARIANTS["danet_tiny"]
SETS = ("plain", "memory_efficient", "remat", "cpu_inference")


@pytest.mark.parametrize(
    ("dtype", "device", "expected"),
    [
        ("float32", "cpu", "cpu_inference"),
        ("float64", "cpu", "cpu_inference"),
        ("bfloat16", "cpu", "memory_efficient"),
        ("float32", "cuda", "memory_efficient"),
    ],
)
def test_auto_is_the_fastest_for_inference(dtype: str, device: str, expected: str) -> None:
    assert resolve_layers("auto", get_precision(dtype), device) == expected


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize(
    ("layers", "error"), [("fast", ValueError), (True, TypeError)], ids=["unknown", "former_position_of_folded"]
)
def test_other_layers_are_refused(
    backend: str, layers: Any, error: type[Exception], checkpoint_of: CheckpointOf
) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    with pytest.raises(error, match=f"one of {', '.join(get_args(LayersName))}; got {layers!r}"):
        package.load(checkpoint_of(TINY), "float32", layers)


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize("name", ["folded", "winograd", "recompute", "numerics"])
def test_former_arguments_name_the_new_one(backend: str, name: str, checkpoint_of: CheckpointOf) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    former: dict[str, Any] = {name: True}
    for make in (package.DANet, package.from_checkpoint, package.load):
        with pytest.raises(TypeError, match=f"{name}= is gone; use {FORMER[name]}"):
            make(checkpoint_of(TINY), **former)


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize("name", ["stages", "masks", "recompute"])
def test_former_arguments_of_a_pass_name_the_new_one(backend: str, name: str) -> None:
    package, former = pytest.importorskip(f"danet_{backend}"), {name: ("stem",)}
    array = importlib.import_module("torch" if backend == "torch" else "numpy")
    with pytest.raises(TypeError, match=f"{name}= is gone; use {FORMER[name]}"):
        package.DANet(TINY)(array.ones((1, 3, 33, 33) if backend == "torch" else (1, 33, 33, 3)), **former)


@pytest.mark.parametrize("backend", NETWORKS)
def test_cpu_inference_is_not_trained(backend: str) -> None:
    model = pytest.importorskip(f"danet_{backend}").DANet(TINY, layers="cpu_inference")
    with pytest.raises(CheckpointError, match=r"cannot be trained\. Load it with layers='memory_efficient'"):
        require_trainable(model.layer_set, "trained")


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize("backend", NETWORKS)
def test_names_of_tensors_are_those_of_the_text(backend: str) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    parameters = importlib.import_module(f"danet_{backend}.parameters")
    plain, *others = (list(parameters.get_tensors(package.DANet(TINY, layers=name))) for name in SETS[:3])
    assert all(names == plain for names in others)


class TestTorch:
    """Copies, pickles and programs."""

    @staticmethod
    def network(layers: str) -> tuple[Any, Any]:
        """A network, and pictures whose attention takes several chunks."""
        torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
        x = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(0))
        return danet_torch.DANet(TINY, layers=layers).eval(), x

    @pytest.fixture(autouse=True)
    def chunked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunks, "CHUNK_SIZE", 500)

    def test_import_takes_no_compiler(self) -> None:
        """Importing torch._dynamo takes longer than importing the package."""
        pytest.importorskip("torch")
        code = "import danet_torch, sys; assert 'torch._dynamo' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)

    @pytest.mark.parametrize("layers", SETS)
    def test_copies_and_pickles_are_the_same(self, layers: str) -> None:
        model, x = self.network(layers)
        torch, file = pytest.importorskip("torch"), io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        expected = model(x)["fused"]
        for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            assert type(other.backbone.layer1[0]) is type(model.backbone.layer1[0])
            assert torch.equal(other(x)["fused"], expected)

    @pytest.mark.parametrize("layers", SETS)
    @pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_exported_for_any_size(self, layers: str, strict: bool) -> None:
        """Nothing in a network makes a size special."""
        model, x = self.network(layers)
        torch = pytest.importorskip("torch", "2.13", reason="max pooling of PyTorch before 2.13 fixes size % 4")
        height, width = (torch.export.Dim(name, min=33, max=513) for name in ("height", "width"))
        program = torch.export.export(model, (x,), dynamic_shapes={"x": {2: height, 3: width}}, strict=strict)
        other = torch.randn(2, 3, 129, 81, generator=torch.Generator().manual_seed(1))
        assert torch.equal(program.module()(other)["fused"], model(other)["fused"])

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # Inductor's own
    @pytest.mark.parametrize(("layers", "compiler"), [("memory_efficient", "inductor"), ("remat", "aot_eager")])
    def test_compiled_training_takes_two_crop_sizes(self, layers: str, compiler: str) -> None:
        model, _ = self.network(layers)
        torch = pytest.importorskip("torch")
        call = torch.compile(model.train(), fullgraph=True, backend=compiler)
        for size in ((65, 97), (81, 129), (97, 65)):
            x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
            call(x)["fused"].square().mean().backward()
        assert all(parameter.grad is not None for parameter in model.backbone.parameters())


@pytest.mark.parametrize("layers", SETS)
def test_copies_and_pickles_of_flax_are_the_same(layers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other networks of a config too have the same graph definition, so that JAX compiles one program for all."""
    nnx, danet_jax = pytest.importorskip("flax.nnx"), pytest.importorskip("danet_jax")
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 10)
    model, x = danet_jax.DANet(TINY, layers=layers), np.ones((1, 33, 49, 3), np.float32)
    model.eval()
    call = nnx.jit(lambda model: model(x)["fused"])
    expected = call(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert nnx.graphdef(other) == nnx.graphdef(model)
        assert np.array_equal(call(other), expected)
    anew = danet_jax.DANet(TINY, layers=layers, seed=1)
    anew.eval()
    assert nnx.graphdef(anew) == nnx.graphdef(model)


@pytest.mark.parametrize("backend", NETWORKS)
def test_the_former_name_of_predict_logits_gives_the_new_one(backend: str) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    with pytest.raises(AttributeError, match="it is predict_logits now"):
        package.infer  # noqa: B018

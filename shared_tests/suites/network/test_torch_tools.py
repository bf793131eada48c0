"""PyTorch's tools on the network: hooks, traced programs, `torch.func`, and layers that a caller has put in."""

from __future__ import annotations

import io
from typing import Any

import pytest

from danet_common import VARIANTS
from danet_common.config.context_kinds import CONTEXT
from danet_common.numerics import chunks

TINY = VARIANTS["danet_tiny"]
SETS = ("plain", "memory_efficient", "remat")
OF_TORCH = (
    "ignore:For backward hooks to be called, module output should be a Tensor:UserWarning",  # a dict: the network, head
    "ignore:`torch.jit.*` is deprecated",
    "ignore:Converting a tensor to a Python boolean",  # the trace is wrong for a size of 1 only
)
pytestmark = [pytest.mark.filterwarnings(line) for line in OF_TORCH]
OPTIONS: dict[str, Any] = {"strict": False}  # a program may return a dict
ROUNDING = 1e-5  # of float32, between a gradient and the same one by `torch.func`


def network(layers: str, config: Any = TINY) -> tuple[Any, Any]:
    """A network, and two pictures."""
    torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
    x = torch.randn(2, 3, 33, 41, generator=torch.Generator().manual_seed(0))
    return danet_torch.DANet(config, layers=layers), x


@pytest.mark.parametrize("layers", SETS)
def test_hooks_of_every_module_fire(layers: str) -> None:
    model, x = network(layers, TINY.replace(auxiliary="fcn", avg_down=True))
    names, forward, backward = dict(model.named_modules()), set(), set()
    for name, module in names.items():
        module.register_forward_hook(lambda module, inputs, output, name=name: forward.add(name))
        module.register_full_backward_hook(lambda module, inputs, outputs, name=name: backward.add(name))
    sum(logits.mean() for logits in model(x.requires_grad_()).values()).backward()
    assert {"backbone.layer1", "backbone.layer4", "backbone.layer4.0.downsample"} <= names.keys()
    assert forward == names.keys()
    assert backward == names.keys() - {"", "head"}  # they return dicts


@pytest.mark.parametrize("kind", CONTEXT)
def test_hooks_of_context_modules_fire(kind: str) -> None:
    model, x = network("plain", TINY.replace(context=(kind,)))
    fired = set()
    for name, module in model.head.named_modules():
        module.register_full_backward_hook(lambda module, inputs, outputs, name=name: fired.add(name))
    sum(logits.mean() for logits in model(x).values()).backward()
    assert fired == {name for name, _ in model.head.named_modules()} - {""}


@pytest.mark.parametrize("layers", SETS)
def test_traced_for_any_size(layers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 500)
    torch, (model, x) = pytest.importorskip("torch"), network(layers)
    program, file = torch.jit.trace(model.eval(), x, **OPTIONS), io.BytesIO()
    torch.jit.save(program, file)
    file.seek(0)
    other = torch.randn(1, 3, 65, 49, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.jit.load(file)(other)["fused"], model(other)["fused"])


@pytest.mark.parametrize("layers", SETS)
def test_gradients_by_torch_func(layers: str) -> None:
    func, (model, x) = pytest.importorskip("torch").func, network(layers)
    model.eval()

    def loss(leaves: dict[str, Any]) -> Any:
        return func.functional_call(model, leaves, (x,))["fused"].square().mean()

    gradients = func.grad(loss)({name: leaf.detach() for name, leaf in model.named_parameters()})
    model(x)["fused"].square().mean().backward()
    for name, leaf in model.named_parameters():
        if leaf.grad is not None:
            assert (gradients[name] - leaf.grad).abs().max() <= ROUNDING * leaf.grad.abs().max() + 1e-12, name


def test_classifiers_of_any_layers() -> None:
    nn, (model, x) = pytest.importorskip("torch.nn"), network("plain")
    channels = TINY.fused_channels
    model.head.fused_classifier = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.Conv2d(4, 7, 1))
    assert model(x)["fused"].shape == (2, 7, 33, 41)
    assert model.double()(x)["fused"].dtype.itemsize == 8

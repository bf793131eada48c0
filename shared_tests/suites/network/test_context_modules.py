"""The context modules alone, on any feature map: the reference's numbers, timm's, how they start, what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import DANetConfig, Taps, tap_names
from danet_common.config.context_sizes import reduced
from shared_tests.fixtures.cases import CASES
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_tensors
from shared_tests.reference.context import context
from shared_tests.reference.network import Network
from shared_tests.suites.conftest import NETWORKS

CHANNELS = 24
TIMM = Path(__file__).parents[2] / "fixtures" / "files" / "timm_modules.npz"
FLOAT32 = 5e-6  # of the largest value: sums of up to 216 products, each rounded by 6e-8, through three layers

# Golden case -> the class, and what it is made of after its channels.
MODULES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "squeeze_excitation": ("SqueezeExcitation", (4,)),
    "cbam": ("CBAM", (4,)),
    "bam": ("BAM", (4,)),
    "selective_kernel": ("SelectiveKernel", (16,)),
    "non_local_gaussian": ("NonLocal", ("gaussian", False)),
    "non_local_embedded_gaussian": ("NonLocal", ("embedded_gaussian", False)),
    "non_local_dot_product": ("NonLocal", ("dot_product", False)),
    "non_local_concatenation_pooled": ("NonLocal", ("concatenation", True)),
    "self_attention": ("SelfAttention", (CHANNELS // 8,)),
    "joint_position": ("JointPositionAttention", (6,)),
    "joint_channel": ("JointChannelAttention", ()),
    "compact_position": ("CompactPositionAttention", (6,)),
    "compact_channel": ("CompactChannelAttention", (4,)),
    "criss_cross": ("CrissCrossAttention", (6,)),
}
IDENTITIES = [
    name for name in MODULES if name.startswith(("non_local", "self", "joint", "compact", "criss"))
]  # before training


def tensors_of(name: str) -> dict[str, np.ndarray]:
    """A case's module's own tensors, by their names within it."""
    config = CASES[name].config
    within = f"head.{config.context[0]}_attention."
    return {n.removeprefix(within): a for n, a in synthetic_tensors(config).items() if n.startswith(within)}


def expected(config: DANetConfig, tensors: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    """The reference's module alone: its taps, and what it makes of x as `out`."""
    network = Network(config, {f"module.{name}": array for name, array in tensors.items()}, training=False)
    out = context(network, config.context[0], "module", x.astype(np.float64))
    return {**network.result.taps, "out": out}


def class_named(package: Any, name: str) -> Any:
    """Return the class of a context module of a package."""
    return next(kind for kind in package.context.MODULES.values() if kind.__name__ == name)


def made(backend: str, name: str) -> tuple[Any, Any]:
    """The package, and a module of it in inference."""
    package = pytest.importorskip(f"danet_{backend}")
    kind, arguments = MODULES[name]
    module = class_named(package, kind)(CHANNELS, *arguments)
    if backend != "tf":
        module.eval()
    return package, module


def apply(backend: str, module: Any, x: np.ndarray, taps: Any) -> np.ndarray:
    """Return the output of the module for x (N, C, H, W)."""
    if backend == "torch":
        torch = pytest.importorskip("torch")
        return np.asarray(module(torch.as_tensor(x), taps).detach())
    x = x.transpose(0, 2, 3, 1)
    if backend == "jax":
        x = pytest.importorskip("jax").numpy.asarray(x)
    return np.asarray(module(x, taps=taps)).transpose(0, 3, 1, 2)


def largest_difference(expected_values: np.ndarray, actual: np.ndarray) -> float:
    """Relative to the largest value."""
    assert actual.shape == expected_values.shape
    return float(np.abs(actual - expected_values).max() / np.abs(expected_values).max())


SIZES = {"odd": (5, 7), "flat": (1, 2)}


@pytest.mark.parametrize(
    ("size", "name", "backend"),
    [
        # JAX compiles each operation anew for another size.
        pytest.param(
            SIZES[size],
            name,
            backend,
            id=f"{size}-{name}-{backend}",
            marks=[pytest.mark.slow] * (size == "flat" and backend == "jax"),
        )
        for size in SIZES
        for name in MODULES
        for backend in NETWORKS
    ],
)
def test_alone(backend: str, name: str, size: tuple[int, int]) -> None:
    """On a map of any size, with the taps that were asked for."""
    config = CASES[name].config
    package, module = made(backend, name)
    package.parameters.set_tensors(module, tensors_of(name))
    x, asked = synthetic_array("module:x", (2, CHANNELS, *size)), (*tap_names(config), "unheard")
    expected_values, taps = expected(config, tensors_of(name), x), Taps(asked)
    assert largest_difference(expected_values.pop("out"), apply(backend, module, x, taps)) <= FLOAT32
    kept = taps.recorded
    assert kept.keys() == expected_values.keys()
    for tap, array in expected_values.items():
        actual = np.asarray(kept[tap].detach() if backend == "torch" else kept[tap])
        actual = actual.transpose(0, 3, 1, 2) if backend != "torch" and actual.ndim == 4 else actual
        assert largest_difference(array, actual) <= 2 * FLOAT32, tap


@pytest.mark.parametrize("name", sorted(np.load(TIMM).files))
def test_timm_has_the_same(name: str) -> None:
    """timm's own code made the expected output of the same weights: see files/README.md."""
    x = synthetic_array("timm:x", (2, CHANNELS, 5, 7))
    assert largest_difference(expected(CASES[name].config, tensors_of(name), x)["out"], np.load(TIMM)[name]) <= FLOAT32


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize("name", IDENTITIES)
def test_starts_as_the_identity(backend: str, name: str) -> None:
    package, module = made(backend, name)
    package.parameters.access.draw(package.parameters.named_parameters(module), 0)
    x = synthetic_array("module:x", (2, CHANNELS, 5, 7))
    assert np.array_equal(apply(backend, module, x, Taps()), x)


@pytest.mark.parametrize("name", MODULES)
def test_keras_makes_it_again(name: str) -> None:
    _, module = made("tf", name)
    again = type(module).from_config(module.get_config())
    assert again.get_config() == module.get_config()
    assert [tuple(v.shape) for v in again.weights] == [tuple(v.shape) for v in module.weights]


@pytest.mark.parametrize("backend", NETWORKS)
def test_what_is_refused(backend: str) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    with pytest.raises(
        ValueError, match=r"^form must be one of gaussian, embedded_gaussian, dot_product, concat.*'mean'$"
    ):
        class_named(package, "NonLocal")(CHANNELS, "mean", False)
    for kind in ("SqueezeExcitation", "CBAM", "BAM", "SelectiveKernel"):
        with pytest.raises(ValueError, match=r"^channels and reduction must be at least 1; got 24 and 0$"):
            class_named(package, kind)(CHANNELS, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reduction": 0}, r"^reduction must be at least 1; got 0$"),
        ({"non_local_form": "mean"}, r"^non_local_form must be one of gaussian, .*; got 'mean'$"),
        ({"decoder": "cascade"}, r"^decoder must be one of sum, gating; got 'cascade'$"),
        ({"non_local_pooled": 2}, r"^non_local_pooled must be one of False, True; got 2$"),
    ],
)
def test_what_the_config_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DANetConfig(**changes)


@pytest.mark.parametrize(
    ("channels", "least", "hidden"), [(512, 1, 32), (24, 1, 1), (8, 1, 1), (24, 32, 32), (1024, 32, 64)]
)
def test_hidden_channels(channels: int, least: int, hidden: int) -> None:
    assert reduced(channels, 16, least) == hidden

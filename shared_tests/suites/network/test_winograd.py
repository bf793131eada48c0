"""Winograd's convolution: the reference's numbers by fewer multiplications, where it gains, and nowhere else."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from danet_common.numerics import chunks, winograd
from danet_common.numerics.winograd import INPUT, KERNEL, OUTPUT, SPAN, TILE
from shared_tests.fixtures.cases import CASES, TINY
from shared_tests.fixtures.synthetic import synthetic_array
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.mutation.winograd import WINOGRAD
from shared_tests.parity.check_case import CheckpointOf, check_case, expected, named, request_of
from shared_tests.parity.compare import compare
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.suites.network.test_precision import FACTOR
from shared_tests.suites.network.transforming import ALWAYS
from shared_tests.workers.backends import BACKENDS, Worker

MODES = [
    pytest.param(name, mode, marks=[pytest.mark.slow] * (FASTEST.get(name) != mode))
    for name, backend in BACKENDS.items()
    for mode in backend.modes
]


@contextlib.contextmanager
def transformed(worker: Worker, entries: int = 0) -> Iterator[Worker]:
    """The worker; the networks that it makes meanwhile transform whatever they can."""
    worker.call_function("transform_always", {"entries": entries}, {}, "shared_tests.suites.network.transforming")
    try:
        yield worker
    finally:
        worker.call_function("transform_always", {"entries": None}, {}, "shared_tests.suites.network.transforming")


@pytest.mark.parametrize("entries", [pytest.param(0, marks=pytest.mark.slow), 1], ids=["whole", "bands"])
@pytest.mark.parametrize(("backend", "mode"), MODES)
@pytest.mark.parametrize("name", ["tiny", "paddle"])
def test_agrees(backend: str, mode: str, name: str, entries: int, start: Start, checkpoint_of: CheckpointOf) -> None:
    """At every dilation, where tiles reach beyond the picture, in one band and in several."""
    with transformed(start(backend), entries) as worker:
        report = check_case(CASES[name], worker, checkpoint_of, mode=mode, layers="cpu_inference")
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize("backend", ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tf", "jax"))])
def test_float32(backend: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """No further from the reference than frameworks that sum in another order may be from each other."""
    case, errors = CASES["r18"], []
    for layers in ("memory_efficient", "cpu_inference"):
        request = request_of(case, checkpoint_of(case.config), mode=FASTEST[backend], dtype="float32", layers=layers)
        with transformed(start(backend)) as worker:
            report = compare(expected(case), named(worker.run(request)), np.inf)
        errors.append(max(d.relative or 0 for d in report.differences if d.name in case.config.outputs))
    direct, by_transforms = errors
    assert by_transforms != direct  # it was computed differently
    assert by_transforms <= FACTOR * direct


def test_one_tile() -> None:
    """The paper's matrices on integers give the convolution by its definition."""
    generator = np.random.default_rng(0)
    pixels, kernel = generator.integers(-9, 9, (SPAN, SPAN)), generator.integers(-9, 9, (3, 3, 1, 1)).astype(np.float64)
    actual = OUTPUT @ ((INPUT @ pixels.reshape(-1)) * (KERNEL @ kernel.reshape(-1)))
    expected_values = [
        (pixels[i : i + 3, j : j + 3] * kernel[:, :, 0, 0]).sum() for i in range(TILE) for j in range(TILE)
    ]
    assert np.abs(actual - expected_values).max() < 1e-11  # of sums up to 700


def test_rule() -> None:
    """Sizes at which it was measured to gain: see docs/performance.md."""
    assert winograd.is_eligible(3, 1, 256)
    assert not winograd.is_eligible(3, 2, 256)
    assert not winograd.is_eligible(1, 1, 256)
    assert not winograd.is_eligible(3, 1, 64)
    assert winograd.is_worthwhile(96, 96, 2)
    assert winograd.is_worthwhile(97, 129, 4)
    assert not winograd.is_worthwhile(96, 96, 16)  # two tiles of 64 for 96 pixels
    assert not winograd.is_worthwhile(17, 23, 1)
    for width, channels, dilation in ((96, 2048, 1), (257, 512, 4), (31, 7, 16)):
        rows = winograd.band(width, channels, dilation, winograd.BAND_SIZE)
        entries = SPAN**2 * winograd.tiles(width, dilation) * dilation**2 * channels
        assert rows == 1 or rows * entries <= winograd.BAND_SIZE < (rows + 1) * entries
        phases = winograd.phases(width, channels, dilation, winograd.CACHED_SIZE)
        assert phases == dilation or phases * entries <= winograd.CACHED_SIZE * dilation < (phases + 1) * entries
    assert winograd.phases(256, 512, 16, winograd.CACHED_SIZE) == 3
    assert winograd.phases(256, 512, 16, 1) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_dtypes_are_computed_directly(dtype: str, checkpoint_of: CheckpointOf) -> None:
    """The transforms would cancel too much there."""
    torch = pytest.importorskip("torch")
    from danet_torch.accelerated.winograd import WinogradConv

    conv = WinogradConv(128, 128, 3, bias=True, dtype=dtype)
    x = torch.randn(1, 128, 64, 64, generator=torch.Generator().manual_seed(0)).to(conv.weight.dtype)
    assert torch.equal(conv(x), torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=1))


@pytest.mark.parametrize(
    ("backend", "entries"),
    [
        pytest.param(name, entries, id=f"{name}-{ident}", marks=[pytest.mark.slow] * (name != "torch"))
        for name in NETWORKS
        for entries, ident in ((0, "whole"), (1, "bands"))
    ],
)
def test_gradients(backend: str, entries: int, start: Start, checkpoint_of: CheckpointOf) -> None:
    """Gradients by the pixels and by every kernel are those of the direct convolution."""
    pixels = {"input": {"x": np.random.default_rng(0).standard_normal((2, 3, 65, 97))}}
    actual = []
    for layers in ("memory_efficient", "cpu_inference"):
        fields = {"checkpoint": str(checkpoint_of(TINY)), "layers": layers}
        with transformed(start(backend), entries) as worker:
            actual.append(worker.call_function("gradients", fields, pixels)["gradients"])
    direct, by_transforms = actual
    kernels = {name for name in by_transforms if name.endswith("classifier.weight")}  # before no BatchNorm
    assert "head.fused_classifier.weight" in kernels
    assert not np.array_equal(direct["x"], by_transforms["x"])
    for name in ("x", *kernels):
        assert np.abs(direct[name] - by_transforms[name]).max() <= 1e-10 * np.abs(direct[name]).max(), name


@pytest.mark.parametrize("backend", ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tf", "jax"))])
def test_second_gradients(backend: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    pixels = {"input": {"x": np.random.default_rng(0).standard_normal((1, 3, 65, 49))}}
    actual = []
    for layers in ("memory_efficient", "cpu_inference"):
        fields = {"checkpoint": str(checkpoint_of(TINY)), "layers": layers}
        with transformed(start(backend)) as worker:
            actual.append(worker.call_function("second_gradients", fields, pixels)["gradients"]["x"])
    direct, by_transforms = actual
    assert not np.array_equal(direct, by_transforms)
    assert np.abs(direct - by_transforms).max() <= 1e-10 * np.abs(direct).max()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own tangents do
def test_transforms_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.func` with chunks of attention: a picture at a time, its gradient, and its tangent."""
    torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
    config = TINY.replace(context=("position", "non_local"))
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 1 << 7)
    for name, value in ALWAYS.items():  # though it has too few channels to gain
        monkeypatch.setattr(winograd, name, value)
    model = danet_torch.DANet(config, dtype="float64", layers="cpu_inference").eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    pictures, direction, cotangent = (
        torch.randn(2, 1, size, 97, 81, generator=generator, dtype=torch.float64) for size in (3, 3, config.num_classes)
    )

    def call(picture):
        return model(picture)["fused"]

    def total(picture):
        return (call(picture) * cotangent[0]).sum()

    def close(one, other) -> bool:
        return (one - other).abs().max() <= 1e-10 * other.abs().max()

    one_by_one = torch.stack([call(picture) for picture in pictures])
    assert close(torch.vmap(call)(pictures), one_by_one)
    with torch.inference_mode():
        assert close(torch.vmap(call)(pictures), one_by_one)
    leaf = pictures[1].clone().requires_grad_()
    (expected_values,) = torch.autograd.grad(total(leaf), leaf)
    assert close(torch.func.grad(total)(pictures[1]), expected_values)
    assert close(torch.vmap(torch.func.grad(total))(pictures)[1], expected_values)
    _, tangent = torch.func.jvp(total, (pictures[1],), (direction[1],))
    assert close(tangent, (expected_values * direction[1]).sum())


def test_xla_transforms_kernels_when_needed() -> None:
    """XLA would transform those of all convolutions first, had they nothing to wait for."""
    jax, accelerated = pytest.importorskip("jax"), pytest.importorskip("danet_jax.accelerated.winograd")
    convolutions = [accelerated.WinogradConv(128, 128, 3, bias=True) for _ in range(12)]
    pixels = jax.numpy.zeros((1, 32, 32, 128))
    program = jax.jit(lambda layers, x: functools.reduce(lambda x, layer: layer(x), layers, x))
    held = program.lower(convolutions, pixels).compile().memory_analysis().temp_size_in_bytes
    assert SPAN**2 * 128 * 128 * 4 < held < 4 * SPAN**2 * 128 * 128 * 4  # of one convolution, with its tiles


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of a process")
def test_tensorflow_transforms_kernels_when_needed(start: Start) -> None:
    """It too would transform all of them first: 288 MiB of 8 convolutions here, 82 as it is."""
    fields = {"channels": 512, "count": 8}
    start("tf")  # which skips, or fails, where it is missing
    with Worker(BACKENDS["tf"]) as worker:  # of its own: what earlier tests leave is given back while this one measures
        actual = worker.call_function("held_by_tensorflow", fields, {}, "shared_tests.suites.network.transforming")
    kernels = SPAN**2 * 512 * 512 * 4  # large enough that malloc takes and gives back each by itself
    assert kernels < int(actual["held"]["bytes"]) < 4 * kernels


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_picture_that_is_not_finite(backend: str, value: float) -> None:
    """Is no other picture's affair, though kernels wait for its first pixel."""
    convolve = pytest.importorskip(f"danet_{backend}.accelerated.winograd").convolve
    x, kernel = synthetic_array("x", (2, 9, 13, 4)), synthetic_array("kernel", (3, 3, 4, 5))
    x[0, 0, 0, 0] = value
    if backend == "torch":
        torch = importlib.import_module("torch")
        tensors = [
            torch.from_numpy(array.transpose(order)) for array, order in ((x, (0, 3, 1, 2)), (kernel, (3, 2, 0, 1)))
        ]
        out = convolve(*tensors, None, 1).numpy()
    else:
        array = importlib.import_module("jax.numpy" if backend == "jax" else "numpy").asarray
        out = np.asarray(convolve(array(x), array(kernel), 1))
    assert not np.isfinite(out[0]).all()
    assert np.isfinite(out[1]).all()


def test_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """With chunks of attention, and where gradients are recorded: a program is of operations that these can follow."""
    torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 1 << 12)
    for name, value in ALWAYS.items():  # though it has too few channels to gain
        monkeypatch.setattr(winograd, name, value)
    config = TINY.replace(context=("position", "non_local"))
    model = danet_torch.DANet(config, layers="cpu_inference").eval()
    pictures = torch.randn(1, 3, 257, 271, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(model, (pictures,)).module()
    with torch.inference_mode():
        expected_values = model(pictures)["fused"]
    recorded = program(pictures)["fused"]
    assert recorded.requires_grad
    assert (recorded - expected_values).abs().max() <= 1e-4 * expected_values.abs().max()  # convolved directly there


@pytest.mark.parametrize(
    ("backend", "mutation"),
    [
        pytest.param(backend, mutation, id=f"{backend}-{mutation.name}", marks=[pytest.mark.slow] * (backend == "jax"))
        for backend in NETWORKS
        for mutation in WINOGRAD
        if backend in mutation.edits
    ],
)
def test_mutation_is_caught(mutation: Mutation, backend: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    worker = start(backend)
    mutate(worker, mutation.sources(backend))
    try:
        with transformed(worker, 1):
            report = check_case(mutation.case, worker, checkpoint_of, mode=FASTEST[backend], layers="cpu_inference")
        assert not report.agrees, f"survives: {mutation.trap}"
    finally:
        mutate(worker, None)

"""Position attention in chunks: the numbers of the whole map, without its memory."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from danet_common import tap_names
from danet_common.numerics import chunks
from shared_tests.fixtures.synthetic import synthetic_array
from shared_tests.mutation.attention import CHUNKED, CHUNKED_MUTATIONS, KERNEL, SECOND
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.parity.check_case import CheckpointOf, case_input, check_case
from shared_tests.parity.gradients import cotangents, mismatch
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_gradients import AGREEMENT
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.suites.training.test_training import RECIPE, at, go_on, initial_state
from shared_tests.suites.training.test_training import mismatch as moved
from shared_tests.workers.backends import BACKENDS, Worker
from shared_tests.workers.protocol import Request, Response

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "attention.py"

POSITIONS = 5 * 7  # of CHUNKED, in a batch of two
ENTRIES = {  # chunks of so many rows
    1: 1,
    7: 8 * POSITIONS,  # 8 would fit, and make five chunks too
    9: 9 * POSITIONS,  # 9, 9, 9, 8
    18: 34 * POSITIONS,  # 18, 17
    35: POSITIONS**2,  # the whole map, and no more
    "whole": 1 << 40,
}
WITHOUT_MAP = tuple(name for name in tap_names(CHUNKED.config) if name != "position_map")
REMATERIALISED = {"torch": 1e-13, "tf": 1e-12, "jax": 1e-12}  # a sum over chunks adds in another order


@contextlib.contextmanager
def chunked(worker: Worker, entries: int) -> Iterator[Worker]:
    """The worker; networks that it makes meanwhile hold so many entries of the map at once."""
    worker.call_function("set_chunk_size", {"entries": entries}, {}, "shared_tests.suites.network.chunking")
    try:
        yield worker
    finally:
        worker.call_function("set_chunk_size", {"entries": None}, {}, "shared_tests.suites.network.chunking")


@contextlib.contextmanager
def by_kernel(worker: Worker) -> Iterator[Worker]:
    """The worker, whose networks meanwhile attend by PyTorch's kernel, on a CPU too."""
    worker.call_function("set_kernel", {"used": True}, {}, "shared_tests.suites.network.chunking")
    try:
        yield worker
    finally:
        worker.call_function("set_kernel", {"used": False}, {}, "shared_tests.suites.network.chunking")


def with_gradients(worker: Worker, checkpoint_of: CheckpointOf) -> Response:
    """Logits, and the gradients of all parameters."""
    checkpoint, x = checkpoint_of(CHUNKED.config), case_input(CHUNKED).astype(np.float64)
    return worker.run(Request(checkpoint=checkpoint, x=x, dtype="float64", cotangents=cotangents(CHUNKED)))


@pytest.fixture(scope="module")
def expected(start: Start, checkpoint_of: CheckpointOf) -> dict[str, np.ndarray]:
    """The gradients of the whole map, which the reference judges elsewhere."""
    return with_gradients(start("torch"), checkpoint_of).gradients


@pytest.mark.parametrize("positions", [1, 2, 35, 4096, 4097, 50176])
@pytest.mark.parametrize("entries", [1, 34, 35, 36, 1225, chunks.CHUNK_SIZE, chunks.LARGEST_CHUNK])
def test_rows(positions: int, entries: int) -> None:
    """Chunks are as few as the size allows, and nearly equal."""
    rows = chunks.chunk_rows(positions, entries)
    count = math.ceil(positions / rows)
    assert 1 <= rows <= positions
    assert (rows - 1) * positions < entries
    assert count == 1 or positions**2 > (count - 1) * entries
    assert rows == math.ceil(positions / count)


@pytest.mark.parametrize("entries", [1, 2, 35, 1225, chunks.CHUNK_SIZE, chunks.LARGEST_CHUNK])
def test_blocks(entries: int) -> None:
    queries, keys = chunks.flash_block(entries)
    assert queries >= 1
    assert keys == 2 * queries
    assert queries == 1 or 4 * queries**2 <= entries < 4 * (queries + 1) ** 2


@pytest.mark.parametrize(
    ("backend", "mode"),
    [
        ("torch", "eager"),
        pytest.param("torch", "compile", marks=pytest.mark.slow),
        ("tf", "eager"),
        ("tf", "function"),
        pytest.param("tf", "xla", marks=pytest.mark.slow),
        ("jax", "jit"),
    ],
)
def test_agrees(backend: str, mode: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """With the reference, in every way of running a network."""
    with chunked(start(backend), ENTRIES[9]) as worker:
        report = check_case(CHUNKED, worker, checkpoint_of, mode=mode, taps=WITHOUT_MAP)
    assert report.agrees, (report.first_mismatch, report.cause)


def attend(backend: str, query: Any, key: Any, value: Any, entries: int) -> Any:
    """Position attention of a backend, in chunks of so many entries."""
    module = importlib.import_module(f"danet_{backend}.accelerated.attention")
    definition = importlib.import_module(f"danet_{backend}.attention").softmax_attention
    with mock.patch.object(chunks, "CHUNK_SIZE", entries):
        return module.MemoryEfficientAttention(definition)(query, key, value)


@pytest.mark.parametrize("backend", NETWORKS)
@pytest.mark.parametrize("entries", [4 * 9**2, 70 * 9, 70**2], ids=["blocks", "chunks", "whole"])
def test_float32(backend: str, entries: int) -> None:
    """In float32 PyTorch takes products of blocks from another library than in float64."""
    pytest.importorskip(f"danet_{backend}")
    generator = np.random.default_rng(0)
    query, key, value = (generator.standard_normal((2, 70, size)).astype(np.float32) for size in (5, 5, 6))
    energy = query.astype(np.float64) @ key.astype(np.float64).swapaxes(1, 2)
    powers = np.exp(energy - energy.max(axis=2, keepdims=True))
    expected_values = powers / powers.sum(axis=2, keepdims=True) @ value
    tensor = importlib.import_module("torch").from_numpy if backend == "torch" else lambda array: array
    actual = np.asarray(attend(backend, tensor(query), tensor(key), tensor(value), entries))
    assert actual.dtype == np.float32
    assert (
        np.abs(actual - expected_values).max() <= 1e-5 * np.abs(expected_values).max()
    )  # energies of up to 15 are rounded to 1e-6


@pytest.mark.parametrize(
    ("backend", "rows"),
    [*itertools.product(("torch", "tf"), ENTRIES), ("jax", 9)],  # which is compiled, and differs by a size only
)
def test_gradients(
    backend: str, rows: int, start: Start, checkpoint_of: CheckpointOf, expected: dict[str, np.ndarray]
) -> None:
    with chunked(start(backend), ENTRIES[rows]) as worker:
        actual = with_gradients(worker, checkpoint_of)
    worst, name = mismatch(expected, actual.gradients)
    assert worst <= AGREEMENT, name


@pytest.fixture(scope="module")
def second_truth(start: Start, checkpoint_of: CheckpointOf) -> np.ndarray:
    """The gradient of a gradient, through the whole map."""
    return second_gradient(start("torch"), checkpoint_of)


def second_gradient(worker: Worker, checkpoint_of: CheckpointOf) -> np.ndarray:
    fields = {"checkpoint": str(checkpoint_of(CHUNKED.config)), "layers": "memory_efficient"}
    pixels = {"input": {"x": case_input(CHUNKED).astype(np.float64)}}
    return worker.call_function("second_gradients", fields, pixels)["gradients"]["x"]


@pytest.mark.parametrize("backend", ["torch", "tf", pytest.param("jax", marks=pytest.mark.slow)])
def test_second_gradients(backend: str, start: Start, checkpoint_of: CheckpointOf, second_truth: np.ndarray) -> None:
    with chunked(start(backend), ENTRIES[9]) as worker:
        actual = second_gradient(worker, checkpoint_of)
    assert np.abs(actual - second_truth).max() <= AGREEMENT * np.abs(second_truth).max()


@pytest.mark.parametrize("mutation", SECOND, ids=lambda mutation: mutation.name)
def test_mutation_of_second_gradients_is_caught(
    mutation: Mutation, start: Start, checkpoint_of: CheckpointOf, second_truth: np.ndarray
) -> None:
    """First gradients do not change."""
    (backend,) = mutation.edits
    worker = start(backend)
    mutate(worker, mutation.sources(backend))
    try:
        with chunked(worker, ENTRIES[9]):
            actual = second_gradient(worker, checkpoint_of)
    finally:
        mutate(worker, None)
    assert np.abs(actual - second_truth).max() > AGREEMENT * np.abs(second_truth).max(), mutation.trap


def test_a_map_that_is_asked_for_is_whole(worker: Worker, checkpoint_of: CheckpointOf) -> None:
    with chunked(worker, ENTRIES[1]):
        report = check_case(CHUNKED, worker, checkpoint_of, mode=FASTEST[worker.backend.name])
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize("backend", ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tf", "jax"))])
def test_within_recomputation(backend: str, start: Start, tmp_path: Path) -> None:
    """Two training steps whose gradient computes the attention again, and therein each chunk."""
    recipe, actual = RECIPE.replace(remat=True, clip_norm=None), []
    for entries in (chunks.CHUNK_SIZE, ENTRIES[9]):
        first, folder = tmp_path / f"{entries}.safetensors", tmp_path / str(entries)
        initial_state(first, CHUNKED.config.replace(dropout_rate=0.0), recipe)
        with chunked(start(backend), entries):
            go_on(start, backend, first, 2, folder)
        actual.append(at(folder, 2))
    worst, name = moved(*actual)
    assert worst <= REMATERIALISED[backend], name


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_no_map_is_kept(backend: str, start: Start) -> None:
    """A gradient keeps less, by the map at least, where that is made in three chunks."""
    x, positions = synthetic_array("attention:x", (2, 3, 129, 161)).astype(np.float32), 17 * 21
    whole = {"torch": "plain", "jax": "memory_efficient"}[backend]  # which keeps a map that one chunk holds, in JAX
    kept = []
    for entries, layers in ((chunks.CHUNK_SIZE, whole), (positions**2 // 3, "memory_efficient")):
        with chunked(start(backend), entries) as worker:
            fields = {"config": CHUNKED.config.to_dict(), "layers": [layers]}
            actual = worker.call_function("kept", fields, {"input": {"x": x}})
        kept.append(int(actual["bytes"][layers]))
    assert kept[0] - kept[1] >= 2 * positions**2 * 4  # of float32, for two pictures


@pytest.mark.slow
@pytest.mark.parametrize("backend", NETWORKS)
def test_memory_is_linear(backend: str) -> None:
    """A pass and its gradients take far less than a map, which would be 1 GiB."""
    if BACKENDS[backend].missing:
        pytest.skip(f"{backend} needs {', '.join(BACKENDS[backend].missing)}")
    command = [sys.executable, str(BENCHMARK), "--positions", "16384", "--backend", backend, "--passes", "0"]
    done = subprocess.run([*command, "--backward", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    (row,) = json.loads(done.stdout)
    assert row["bytes"] < 16384**2 * 4


@pytest.mark.parametrize(
    ("mutation", "backend"),
    [
        pytest.param(mutation, backend, id=f"{mutation.name}-{backend}", marks=[pytest.mark.slow] * (backend == "jax"))
        for mutation in CHUNKED_MUTATIONS
        for backend in mutation.edits
    ],
)
def test_mutation_is_caught(
    mutation: Mutation, backend: str, start: Start, checkpoint_of: CheckpointOf, expected: dict[str, np.ndarray]
) -> None:
    """By the logits, or else by the gradients."""
    worker = start(backend)
    mutate(worker, mutation.sources(backend))
    try:
        with chunked(worker, ENTRIES[9]):
            report = check_case(mutation.case, worker, checkpoint_of, mode=FASTEST[backend], taps=WITHOUT_MAP)
            if report.agrees:
                actual = with_gradients(worker, checkpoint_of)
                assert mismatch(expected, actual.gradients)[0] > AGREEMENT, f"survives: {mutation.trap}"
    finally:
        mutate(worker, None)


@pytest.mark.parametrize("mode", ["eager", pytest.param("compile", marks=pytest.mark.slow)])
def test_kernel_agrees(mode: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """PyTorch's own, whose CPU code computes in float64 what its GPU code does in 32 and 16 bits."""
    with by_kernel(start("torch")) as worker:
        report = check_case(CHUNKED, worker, checkpoint_of, mode=mode, taps=WITHOUT_MAP)
    assert report.agrees, (report.first_mismatch, report.cause)


def test_kernel_gradients(start: Start, checkpoint_of: CheckpointOf, expected: dict[str, np.ndarray]) -> None:
    with by_kernel(start("torch")) as worker:
        actual = with_gradients(worker, checkpoint_of)
    worst, name = mismatch(expected, actual.gradients)
    assert worst <= AGREEMENT, name


def test_a_map_that_is_asked_for_is_whole_with_a_kernel(start: Start, checkpoint_of: CheckpointOf) -> None:
    with by_kernel(start("torch")) as worker:
        report = check_case(CHUNKED, worker, checkpoint_of)
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize("mutation", KERNEL, ids=lambda mutation: mutation.name)
def test_mutation_of_the_kernel_is_caught(mutation: Mutation, start: Start, checkpoint_of: CheckpointOf) -> None:
    worker = start("torch")
    mutate(worker, mutation.sources("torch"))
    try:
        with by_kernel(worker):
            report = check_case(mutation.case, worker, checkpoint_of, taps=WITHOUT_MAP)
    finally:
        mutate(worker, None)
    assert not report.agrees, f"survives: {mutation.trap}"


def test_no_map_where_there_is_no_kernel() -> None:
    """A kernel that does not take what it is given is an error: never PyTorch's own way out, which is the map."""
    torch = pytest.importorskip("torch")
    from danet_torch.accelerated.attention import sdpa_attention, sdpa_supported

    query, value = torch.ones(1, 4, 2), torch.ones(1, 4, 8)
    assert not sdpa_supported(value.device, value.dtype, 2, 8)  # on a CPU the chunks are faster
    assert torch.equal(sdpa_attention(query, query, value), value)
    with pytest.raises(RuntimeError, match="No available kernel"):
        sdpa_attention(torch.ones(1, 4, 4), query, value)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("dtype", "allowed"),  # of the largest value: rounding of energies up to 60, and of what is gathered
    [("float32", 1e-4), ("bfloat16", 2**-6), ("float16", 2**-8)],
)
def test_kernel_on_a_gpu(dtype: str, allowed: float) -> None:
    """PyTorch has one for the published networks' channels; forward and backward, in memory linear in N."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    attention = importlib.import_module("danet_torch.accelerated.attention")
    generator, positions = torch.Generator().manual_seed(0), 4096
    exact = [torch.randn(2, positions, size, generator=generator).to(getattr(torch, dtype)) for size in (64, 64, 512)]
    expected = [tensor.double().requires_grad_() for tensor in exact]
    tensors = [tensor.cuda().requires_grad_() for tensor in exact]
    cotangent = torch.randn(2, positions, 512, generator=generator)
    gathered = attention.softmax_attention(*expected)
    expected_values = [gathered, *torch.autograd.grad(gathered, expected, cotangent.double())]
    assert attention.sdpa_supported(tensors[2].device, tensors[2].dtype, 64, 512)
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    out = attention.MemoryEfficientAttention(attention.softmax_attention)(*tensors)
    actual = [out, *torch.autograd.grad(out, tensors, cotangent.to(out))]
    assert torch.cuda.max_memory_allocated() - held < 2 * positions**2 * out.element_size()  # of two maps
    for one, other in zip(actual, expected_values, strict=True):
        assert (one.cpu().double() - other).abs().max() <= allowed * other.abs().max()

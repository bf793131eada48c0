"""float32, bfloat16 and mixed precision: each framework's distance from the float64 reference, against the others' own.

No absolute tolerance could tell a wrong eps from rounding at every depth; the three frameworks' errors can,
as all three round the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import ml_dtypes
import numpy as np
import pytest

import weights_convert
from danet_common import CheckpointError, parameters
from danet_common.config import ContextKind
from shared_tests.fixtures.cases import CASES, TINY, Case
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_tensors
from shared_tests.parity.check_case import CheckpointOf, expected, named, request_of
from shared_tests.parity.compare import compare
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.suites.training.test_training import CONFIG, RECIPE, at, go_on, initial_state
from shared_tests.workers.protocol import Response

ResponseOf = Callable[[str, Case, str], Response]

FACTOR = 5.0  # between frameworks that add the same numbers in another order; wrong eps is a factor of 100 and more
FLOOR = 2.0**-23  # one unit in the last place of float32, the best that float32 can do
COARSER = 2.0**16  # the unit roundoff of bfloat16 in float32's
ROUNDOFF = 2.0**-8  # of bfloat16

# What tf and jax compile for one dtype takes longer than all that a test does with it.
QUICK_FIRST = ["torch", pytest.param("tf", marks=pytest.mark.slow), pytest.param("jax", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def response_of(start: Start, checkpoint_of: CheckpointOf) -> ResponseOf:
    """Backend, case and dtype -> the backend's response, by its fastest mode; computed once."""
    actual: dict[tuple[str, Case, str], Response] = {}

    def get(backend: str, case: Case, dtype: str) -> Response:
        key = (backend, case, dtype)
        if key not in actual:
            request = request_of(case, checkpoint_of(case.config), mode=FASTEST[backend], dtype=dtype)
            actual[key] = start(backend).run(request)
        return actual[key]

    return get


def relative(case: Case, responses: Iterable[Response], offset: float = 0.0) -> list[dict]:
    """By response: array name -> relative difference from the float64 reference."""
    actual = []
    for response in responses:
        report = compare(expected(case, offset), named(response), np.inf)
        counted = [d for d in report.differences if not d.name.endswith("num_batches_tracked")]
        assert not any(difference.fault for difference in counted)
        actual.append({difference.name: difference.relative for difference in counted})
    return actual


def assert_alike(errors: list[dict]) -> None:
    """No framework is further from the reference, at any tap, than FACTOR times the middle one of the three."""
    for name in errors[0]:
        middle = sorted(error[name] for error in errors)[1]
        for backend, error in zip(NETWORKS, errors, strict=True):
            assert error[name] <= FACTOR * max(middle, FLOOR), (backend, name)


@pytest.mark.parametrize("name", ["tiny", "paddle", "training", pytest.param("r50", marks=pytest.mark.slow)])
def test_float32(name: str, response_of: ResponseOf) -> None:
    case = CASES[name]
    assert_alike(relative(case, [response_of(backend, case, "float32") for backend in NETWORKS]))


def test_large_mean(start: Start, checkpoint_of: CheckpointOf) -> None:
    """A mean far above the deviation: E[x^2] - E[x]^2 would cancel, two passes do not."""
    case, offset = CASES["training"], 1000.0
    path = checkpoint_of(case.config)
    requests = {b: request_of(case, path, mode=FASTEST[b], dtype="float32", offset=offset) for b in NETWORKS}
    assert_alike(relative(case, [start(backend).run(request) for backend, request in requests.items()], offset))


@pytest.mark.parametrize("name", ["tiny", "paddle", "training"])
def test_bfloat16(name: str, response_of: ResponseOf) -> None:
    """Alike, and no worse than float32 by more than the two formats' roundoffs differ."""
    case = CASES[name]
    coarse, fine = (
        relative(case, [response_of(backend, case, dtype) for backend in NETWORKS]) for dtype in ("bfloat16", "float32")
    )
    assert_alike(coarse)
    for error, reference in zip(coarse, fine, strict=True):
        worst = max(error[output] for output in case.config.outputs)
        assert worst <= FACTOR * COARSER * max(reference[output] for output in case.config.outputs)


def test_bfloat16_keeps_energies(response_of: ResponseOf) -> None:
    """Softmax runs in float32: rows of a bfloat16 network's attention sum to one as exactly as float32 can."""
    for backend in NETWORKS:
        response = response_of(backend, CASES["tiny"], "bfloat16")
        for name in ("position_map", "channel_map"):
            sums = response.taps[name].astype(np.float64).sum(axis=2)
            assert np.abs(sums - 1).max() <= 64 * 2.0**-24, (backend, name)  # a row has under 64 terms of weight


@pytest.mark.parametrize("backend", QUICK_FIRST)
def test_mixed_is_bfloat16_with_rounded_kernels(backend: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """The same forward pass bit for bit: only where the kernels are kept differs."""
    path = checkpoint_of(TINY)
    mixed, narrow = (start(backend).run(request_of(Case(TINY), path, dtype=d)) for d in ("mixed_bfloat16", "bfloat16"))
    assert named(mixed).keys() == named(narrow).keys()
    for name, array in named(narrow).items():
        assert np.array_equal(named(mixed)[name], array), name


Learned = Callable[[str], tuple[np.ndarray, Path]]


@pytest.fixture(scope="module")
def mixed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Backend -> losses and folder of three steps in mixed precision; run once."""
    root = tmp_path_factory.mktemp("mixed")
    recipe = RECIPE.replace(dtype="mixed_bfloat16", warmup_steps=0, ema_decay=None)
    first = initial_state(root / "0.safetensors", CONFIG, recipe)
    runs: dict[str, np.ndarray] = {}

    def get(backend: str) -> tuple[np.ndarray, Path]:
        if backend not in runs:
            runs[backend] = go_on(start, backend, first, 3, root / backend, recipe.dtype)["losses"]["loss"]
        return runs[backend], root / backend

    return get


@pytest.mark.parametrize("backend", QUICK_FIRST)
def test_what_learns_is_float32(backend: str, mixed: Learned) -> None:
    """The loss, the weights and what the optimizer remembers."""
    losses, folder = mixed(backend)
    assert np.array_equal(losses, losses.astype(np.float32))
    assert not np.array_equal(losses, losses.astype(ml_dtypes.bfloat16))
    for name, array in at(folder, 3).items():
        assert array.dtype == (np.int64 if name.endswith("num_batches_tracked") else np.float32), name
        assert np.isfinite(array).all(), name


@pytest.mark.parametrize("backend", QUICK_FIRST)
def test_small_updates_are_not_lost(backend: str, mixed: Learned) -> None:
    """A step of a thousandth of the kernels moves nearly each value, and few of what bfloat16 would hold of them."""
    before, after = synthetic_tensors(CONFIG), at(mixed(backend)[1], 1)
    kernels = [name for name, parameter in parameters(CONFIG).items() if parameter.kind == "kernel"]
    moved, survived, count = 0, 0, 0
    for name in kernels:
        update = after[name] - before[name].astype(np.float32)
        assert np.median(np.abs(update / before[name])) < ROUNDOFF / 2, name
        narrow = before[name].astype(ml_dtypes.bfloat16)
        moved += int(np.count_nonzero(update))
        survived += int(np.count_nonzero((narrow + update).astype(ml_dtypes.bfloat16) != narrow))
        count += update.size
    assert moved > 0.99 * count
    assert survived < 0.2 * count


@pytest.mark.slow
def test_mixed_losses_are_near(mixed: Learned) -> None:
    """Each framework rounds elsewhere, a logit by a roundoff or two; the mean over a thousand pixels by less."""
    losses = np.array([mixed(backend)[0] for backend in NETWORKS])
    assert (np.ptp(losses, axis=0) <= ROUNDOFF * losses.min(axis=0)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "kernel"), [("mixed_bfloat16", "float32"), ("bfloat16", "bfloat16")])
def test_keras_writes_its_policy(dtype: str, kernel: str, start: Start, tmp_path: Path) -> None:
    actual = start("tf").call_function("saved", {"dtype": dtype, "folder": str(tmp_path)}, {})["result"]
    assert (str(actual["policy"]), str(actual["kernel"])) == (dtype, kernel)


def test_casting_a_network_ends_mixed_precision(start: Start) -> None:
    """Who says `.double()` to a PyTorch network gets float64 of it, however it was made."""
    arrays = {"input": {"x": synthetic_array("precision:x", (1, 3, 33, 41))}}
    mixed, plain = (
        start("torch").call_function("doubled", {"dtype": d}, arrays) for d in ("mixed_bfloat16", "float32")
    )
    for name, logits in plain["outputs"].items():
        assert logits.dtype == np.float64
        assert np.array_equal(mixed["outputs"][name], logits), name


def test_a_file_is_of_one_dtype(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    """Mixed precision is how a network computes, and none that a file could have."""
    with pytest.raises(CheckpointError, match="unknown dtype 'mixed_bfloat16'; known: float32"):
        weights_convert.convert(checkpoint_of(TINY), tmp_path / "cast.safetensors", dtype="mixed_bfloat16")


def test_autocast_is_mixed_precision(checkpoint_of: CheckpointOf) -> None:
    """A float32 network in PyTorch's own way to 16 bits computes as one of mixed dtype, bit for bit."""
    torch, danet_torch = pytest.importorskip("torch"), pytest.importorskip("danet_torch")
    path, x = (
        checkpoint_of(CASES["dranet"].config),
        torch.randn(2, 3, 33, 47, generator=torch.Generator().manual_seed(0)),
    )
    expected_values = danet_torch.load(path, "mixed_bfloat16")(x)
    with torch.autocast("cpu", torch.bfloat16):
        actual, exact = danet_torch.load(path)(x), danet_torch.load(path, "float64")(x)
    assert {logits.dtype for logits in actual.values()} == {torch.float32}
    assert {logits.dtype for logits in exact.values()} == {torch.float64}  # as autocast has it
    assert all(torch.equal(actual[name], logits) for name, logits in expected_values.items())


@pytest.mark.parametrize("name", get_args(ContextKind))
def test_a_module_within_autocast(name: str) -> None:
    """Alone, in another network: its energies are products in 32 bits, which 16 cannot hold."""
    torch, context = pytest.importorskip("torch"), pytest.importorskip("danet_torch.context")
    from danet_torch.accelerated.layer_sets import plain_layers

    config = TINY.replace(context=(name,), reduction=4)
    module = context.context_module(name, config, plain_layers())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(synthetic_array(name, tuple(parameter.shape))))
        x = 5 * torch.randn(2, config.inner_channels, 32, 32, generator=torch.Generator().manual_seed(0))
        expected_values = module.eval()(x)
        with torch.autocast("cpu", torch.float16):
            actual = module(x=x)
    assert (
        actual - expected_values
    ).abs().max() <= 0.01 * expected_values.abs().max()  # of convolutions of its own that are in 16 bits

"""Initial weights: whose they are, that they are one keyed draw, and that the three networks start with them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from danet_common import VARIANTS, DANetConfig, initial_tensors, parameters
from danet_common.config.tensors import Parameter
from danet_common.numerics.initialisation import Distribution, Scheme, draw, initial_distribution
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.mutation.training import INITIALISATION
from shared_tests.suites.conftest import Start
from shared_tests.workers.backends import Worker

TINY = VARIANTS["danet_tiny"]
SEED = 2
NAMES = ("head.position_attention.query", "head.channel_out.conv", "head.fused_classifier")
OTHERS = [
    TINY.replace(context=("compact_position", "compact_channel"), decoder="gating", auxiliary="fcn"),
    TINY.replace(context=("bam", "non_local"), auxiliary="linear"),
]


def test_the_head_is_drawn_as_its_authors_draw_it() -> None:
    """PyTorch's default: kernels and biases uniform in +-1 / sqrt(in_channels * height * width)."""
    tensors = initial_tensors(DANetConfig(layers=(1, 1, 1, 1), widths=(8, 8, 16, 64)), seed=1)
    kernel, bias = (tensors[f"head.position_attention.value.{leaf}"] for leaf in ("weight", "bias"))
    assert kernel.shape == (64, 64, 1, 1)
    assert np.abs(kernel).max() == pytest.approx(1 / 8, rel=1e-2)  # the largest of 4096
    assert np.abs(bias).max() <= 1 / 8
    assert np.abs(bias).max() > 1 / 9  # of 64
    assert kernel.std() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.03)  # 3 / sqrt(2 * 4096)
    wide = tensors["head.position_in.conv.weight"]  # 256 inputs, 64 outputs, 3x3: fan in and fan out differ
    assert np.abs(wide).max() == pytest.approx(1 / math.sqrt(256 * 9), rel=1e-3)
    assert wide.std() == pytest.approx(1 / math.sqrt(256 * 9 * 3), rel=0.01)


def test_the_backbone_is_drawn_by_its_fan_out() -> None:
    kernel = initial_tensors(DANetConfig(layers=(1, 1, 1, 1)), seed=1)["backbone.layer4.0.conv1.weight"]
    assert kernel.shape == (512, 1024, 1, 1)
    assert kernel.std() == pytest.approx(math.sqrt(2 / 512), rel=0.005)
    assert np.abs(kernel).max() > 3 * kernel.std()  # normal, not uniform


@pytest.mark.parametrize("config", [TINY, *OTHERS], ids=["tiny", "dranet", "bam"])
def test_every_tensor_has_its_distribution(config: DANetConfig) -> None:
    table, tensors = parameters(config), initial_tensors(config, 3)
    assert list(tensors) == list(table)
    for name, parameter in table.items():
        tensor, distribution = tensors[name], initial_distribution(name, table)
        assert tensor.shape == parameter.shape
        assert tensor.dtype == (np.int64 if parameter.kind == "count" else np.float32)
        if parameter.kind not in ("kernel", "bias"):
            one = parameter.kind in ("scale", "variance", "gain") and not name.endswith("residual_bn.weight")
            assert distribution == Distribution("constant", float(one)), name
            assert (tensor == one).all(), name
        elif name.startswith("backbone."):
            assert distribution.kind == "normal", name
        else:
            kernel = table[name.rpartition(".")[0] + ".weight"]
            bound = 1 / math.sqrt(math.prod(kernel.shape[1:]))
            assert distribution == Distribution("uniform", bound), name
            assert 0 < np.abs(tensor).max() <= np.float32(bound), name


def test_mmsegs_heads_are_drawn_as_theirs() -> None:
    """ConvModules by He's rule over the fan out, conv_seg N(0, 0.01), the rest PyTorch's default."""
    table = parameters(VARIANTS["danet_r50_mmseg"])
    actual = {name: initial_distribution(name, table, "mmseg") for name in table}
    assert actual["head.position_in.conv.weight"] == Distribution("normal", math.sqrt(2 / (512 * 9)))
    assert actual["auxiliary.hidden.conv.weight"] == Distribution("normal", math.sqrt(2 / (256 * 9)))
    for layer in ("head.fused_classifier", "auxiliary.classifier"):
        assert actual[f"{layer}.weight"] == Distribution("normal", 0.01)
        assert actual[f"{layer}.bias"] == Distribution("constant", 0)
    for layer in ("head.position_attention.key", "head.position_classifier", "head.channel_classifier"):
        assert actual[f"{layer}.weight"] == actual[f"{layer}.bias"] == Distribution("uniform", 1 / math.sqrt(512))


@pytest.mark.parametrize(
    ("scheme", "kernel"),
    [("paddle", Distribution("normal", math.sqrt(2 / 512))), ("mxnet", Distribution("uniform", 0.07))],
)
def test_paddles_and_mxnets_heads_have_no_biases(scheme: Scheme, kernel: Distribution) -> None:
    table = parameters(VARIANTS["danet_r50"])
    for name, parameter in table.items():
        actual = initial_distribution(name, table, scheme)
        if parameter.kind == "bias":
            assert actual == Distribution("constant", 0), name
        if name.startswith("backbone."):
            assert actual == initial_distribution(name, table), name
    assert initial_distribution("head.fused_classifier.weight", table, scheme) == kernel


def test_one_layer_alone_is_drawn_by_its_distribution() -> None:
    table = {
        "weight": Parameter("weight", (4, 16, 1, 1), "kernel"),
        "bias": Parameter("bias", (4,), "bias"),
    }
    assert initial_distribution("bias", table) == initial_distribution("weight", table) == Distribution("uniform", 0.25)
    drawn = draw(initial_distribution("bias", table), table["bias"], np.random.default_rng(0))
    assert drawn.shape == (4,)
    assert np.abs(drawn).max() <= 0.25


def test_each_tensor_is_keyed_by_seed_and_name() -> None:
    """A tensor depends on nothing else: other parts of the network, or their order."""
    small, large = initial_tensors(TINY, 5), initial_tensors(TINY.replace(auxiliary="fcn", layers=(1, 2, 1, 2)), 5)
    for name, tensor in small.items():
        assert np.array_equal(tensor, large[name]), name
    for name in NAMES:
        assert not np.array_equal(small[f"{name}.weight"], initial_tensors(TINY, 6)[f"{name}.weight"])
    # The draw itself: runs of before must find the same weights again.
    value = small["head.fused_classifier.bias"][:2]
    assert value == pytest.approx([0.06182165, 0.12323039], abs=1e-7)


def test_a_network_starts_with_them(worker: Worker) -> None:
    actual, expected = started(worker), initial_tensors(TINY, SEED)
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.array_equal(actual[name], tensor), name


@pytest.mark.parametrize("mutation", INITIALISATION, ids=lambda mutation: mutation.name)
def test_mutation_is_caught(mutation: Mutation, start: Start) -> None:
    worker = start("torch")  # the three draw through one function
    mutate(worker, mutation.sources("torch"))
    try:
        actual = started(worker)
    finally:
        mutate(worker, None)
    table, wrong = parameters(TINY), list[str]()
    for name, parameter in table.items():
        if parameter.kind in ("kernel", "bias") and not name.startswith("backbone."):
            bound = 1 / math.sqrt(math.prod(table[name.rpartition(".")[0] + ".weight"].shape[1:]))
            largest = np.abs(actual[name]).max()
            if not bound / 2 < largest <= np.float32(bound):
                wrong.append(name)
    assert wrong, f"survives: {mutation.trap}"


def started(worker: Worker) -> dict[str, np.ndarray]:
    """The tensors that a framework's network starts with."""
    return worker.call_function("initial", {"config": TINY.to_dict(), "seed": SEED}, {})["tensors"]

"""Each classic mistake, made in the reference or on its arrays, is called by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from danet_common.config import ContextKind, DANetConfig
from danet_common.config.variants import VARIANTS
from shared_tests import reference
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors
from shared_tests.parity.compare import compare
from shared_tests.reference import operations
from shared_tests.reference.operations import softmax

TINY = VARIANTS["danet_tiny"]
ATTENTION = "head.position_attention"
CLASSIFIER = "head.fused_classifier"

Arrays = dict[str, np.ndarray]


def run(config: DANetConfig = TINY, changes: Arrays | None = None, size: tuple[int, int] = (49, 63)) -> Arrays:
    """Taps and outputs of the reference, with some of the synthetic tensors changed."""
    tensors = {**synthetic_tensors(config), **(changes or {})}
    result = reference.forward(config, tensors, synthetic_input(config, 2, *size), taps="all")
    return {**result.taps, **result.outputs}


@pytest.fixture(scope="module")
def expected() -> Arrays:
    return run()


def flat(maps: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, C, H*W)."""
    return maps.reshape(*maps.shape[:2], -1)


def turned(matrices: np.ndarray) -> np.ndarray:
    return matrices.transpose(0, 2, 1)


def nearest(expected: Arrays) -> np.ndarray:
    low, size = expected["fused_logits"], expected["fused"].shape[2:]
    rows, columns = (np.arange(out) * source // out for out, source in zip(size, low.shape[2:], strict=True))
    return low[:, :, rows][..., columns]


def energies(expected: Arrays) -> np.ndarray:
    return turned(flat(expected["position_query"])) @ flat(expected["position_key"])


def channel_energies(expected: Arrays) -> np.ndarray:
    return flat(expected["channel_in"]) @ turned(flat(expected["channel_in"]))


def attended(expected: Arrays, branch: str, gathered: np.ndarray) -> np.ndarray:
    """gamma * gathered + x."""
    gamma = float(synthetic_tensors(TINY)[f"head.{branch}_attention.gamma"][0])
    return gamma * gathered.reshape(expected[f"{branch}_in"].shape) + expected[f"{branch}_in"]


# sentence -> stage, the actual array there
ARRAY_MISTAKES: dict[str, tuple[str, Callable[[Arrays], np.ndarray]]] = {
    "layout: actual is N,H,W,C": ("layer1", lambda t: t["layer1"].transpose(0, 2, 3, 1)),
    "layout: rows and columns are transposed": ("layer1", lambda t: t["layer1"].transpose(0, 1, 3, 2)),
    "it has to be transposed": ("layer1", lambda t: t["layer1"].transpose(0, 2, 3, 1).reshape(t["layer1"].shape)),
    "layout: position_map is transposed": ("position_map", lambda t: turned(t["position_map"])),
    "axis 1 of [2, 8, 13, 16] runs backwards": ("layer1", lambda t: t["layer1"][:, ::-1]),
    "off by one: padding, or the ceil mode": ("layer2", lambda t: t["layer2"][:, :, :-1]),
    "off by a factor: a stride": ("layer2", lambda t: t["layer2"][:, :, ::2, ::2]),
    "another input or upsampling size": ("fused", lambda t: t["fused"][:, :, :-5]),
    "channel counts or another config": ("layer2", lambda t: t["layer2"][:, :-2]),
    "another batch size": ("layer2", lambda t: t["layer2"][:1]),
    "an axis is missing": ("layer2", lambda t: t["layer2"][0]),
    "values are NaN or infinite": ("layer2", lambda t: np.where(t["layer2"] > 1, np.nan, t["layer2"])),
    "takes the nearest pixel": ("fused", nearest),
    "none of the three grids": ("fused", lambda t: t["fused"] ** 3),
    "no known mistake": ("position_value", lambda t: t["position_value"] ** 3),
    "query and key are swapped in the energy": ("position_map", lambda t: softmax(turned(energies(t)))),
    "over the queries, not over the keys": ("position_map", lambda t: turned(softmax(turned(energies(t))))),
    "1/sqrt(query channels)": ("position_map", lambda t: softmax(energies(t) / 6**0.5)),
    "the softmax's sign is flipped": ("position_map", lambda t: softmax(-energies(t))),
    "softmax(energy), the paper's formula": ("channel_map", lambda t: softmax(channel_energies(t))),
    # Channel energies are symmetric: the softmax over the other axis is the transposed map.
    "channel_map is transposed": ("channel_map", lambda t: turned(softmax(-channel_energies(t)))),
    "averaged over the pixels": ("channel_map", lambda t: softmax(-channel_energies(t) / flat(t["layer4"]).shape[2])),
    "1/sqrt(pixels)": ("channel_map", lambda t: softmax(-channel_energies(t) / flat(t["layer4"]).shape[2] ** 0.5)),
    "1/sqrt(channels)": ("channel_map", lambda t: softmax(-channel_energies(t) / 24**0.5)),
    "x is not added": ("position_attention", lambda t: t["position_attention"] - t["position_in"]),
    "the map is applied transposed": (
        "channel_attention",
        lambda t: attended(t, "channel", turned(t["channel_map"]) @ flat(t["channel_in"])),
    ),
    "the map is applied to x, not to the values": (
        "position_attention",
        lambda t: attended(t, "position", flat(t["position_in"]) @ turned(t["position_map"])),
    ),
}


# context module, sentence -> stage, the actual array there
MODULE_MISTAKES: dict[tuple[ContextKind, str], tuple[str, Callable[[Arrays], np.ndarray]]] = {
    ("squeeze_excitation", "x is added to the gated"): (
        "squeeze_excitation_attention",
        lambda t: t["squeeze_excitation_attention"] + t["squeeze_excitation_in"],
    ),
    ("squeeze_excitation", "the gate's sigmoid is missing"): (
        "squeeze_excitation_gate",
        lambda t: np.log(t["squeeze_excitation_gate"] / (1 - t["squeeze_excitation_gate"])),
    ),
    ("cbam", "cbam_spatial_gate is not applied"): ("cbam_attention", lambda t: t["cbam_in"] * t["cbam_channel_gate"]),
    ("cbam", "one perceptron for both"): ("cbam_channel_gate", lambda t: t["cbam_channel_gate"] ** 3),
    ("bam", "the gated features lack x"): ("bam_attention", lambda t: t["bam_in"] * t["bam_gate"]),
    ("bam", "the branches are multiplied"): (
        "bam_gate",
        lambda t: operations.sigmoid(t["bam_channel"] * t["bam_spatial"]),
    ),
    ("selective_kernel", "the two gates are exchanged"): (
        "selective_kernel_attention",
        lambda t: (
            t["selective_kernel_far_gate"] * t["selective_kernel_near"]
            + t["selective_kernel_near_gate"] * t["selective_kernel_far"]
        ),
    ),
    ("non_local", "mismatch in the non-local map"): ("non_local_map", lambda t: t["non_local_map"] ** 2),
    ("self_attention", "query and key are swapped in the energy"): (
        "self_attention_map",
        lambda t: softmax(turned(flat(t["self_attention_key"])) @ flat(t["self_attention_query"])),
    ),
    ("self_attention", "the last convolution, gamma, or x"): (
        "self_attention_attention",
        lambda t: t["self_attention_attention"] - t["self_attention_in"],
    ),
    ("joint_position", "layout: joint_position_map is transposed"): (
        "joint_position_map",
        lambda t: turned(t["joint_position_map"]),
    ),
    ("joint_channel", "the softmax's sign is flipped"): (
        "joint_channel_map",
        lambda t: softmax(
            -flat(t["joint_channel_projections"])[:, :24] @ turned(flat(t["joint_channel_projections"])[:, 24:48])
        ),
    ),
}


@pytest.mark.parametrize(("kind", "sentence"), MODULE_MISTAKES)
def test_mistake_in_a_module(kind: ContextKind, sentence: str) -> None:
    stage, mistaken = MODULE_MISTAKES[kind, sentence]
    expected = run(TINY.replace(context=(kind,), reduction=4), size=(33, 47))
    report = compare(expected, {**expected, stage: mistaken(expected)})
    assert report.first_mismatch == stage
    assert report.cause is not None
    assert sentence in report.cause


@pytest.mark.parametrize("sentence", ARRAY_MISTAKES)
def test_mistake_on_an_array(sentence: str, expected: Arrays) -> None:
    stage, mistaken = ARRAY_MISTAKES[sentence]
    report = compare(expected, {**expected, stage: mistaken(expected)})
    assert report.first_mismatch == stage
    assert sentence in str(report.cause)


def test_transposed_map_applied_to_the_values(expected: Arrays) -> None:
    wrong = attended(expected, "position", flat(expected["position_value"]) @ expected["position_map"])
    report = compare(expected, {**expected, "position_attention": wrong})
    assert "the map is applied transposed" in str(report.cause)


def test_overflow_in_float16() -> None:
    expected = {"channel_in": np.abs(synthetic_input(TINY, 2, 40, 40)).astype(np.float64) * 30}
    expected["channel_map"] = softmax(-channel_energies(expected))
    report = compare(expected, {**expected, "channel_map": np.full((2, 3, 3), np.nan, np.float16)})
    assert "channel energies pass 65504" in str(report.cause)


def test_expected_array_that_is_not_finite(expected: Arrays) -> None:
    report = compare({**expected, "layer2": np.where(expected["layer2"] > 1, np.nan, expected["layer2"])}, expected)
    assert "NaN or infinity expected" in str(report.cause)


def rule(name: str) -> np.ndarray:
    return synthetic_tensors(TINY)[name]


def exchanged(one: str, other: str) -> Arrays:
    pairs = ((one, other), (other, one))
    return {f"{a}.{leaf}": rule(f"{b}.{leaf}") for a, b in pairs for leaf in ("weight", "bias")}


# sentence -> stage, config, changed tensors
NETWORK_MISTAKES: dict[str, tuple[str, DANetConfig, Arrays]] = {
    "position_query is what position_key should be": (
        "position_query",
        TINY,
        exchanged(f"{ATTENTION}.query", f"{ATTENTION}.key"),
    ),
    "bias: position_query is off by one constant": ("position_query", TINY, {f"{ATTENTION}.query.bias": np.zeros(6)}),
    "bias: fused_logits is off by one constant": ("fused_logits", TINY, {f"{CLASSIFIER}.bias": np.zeros(19)}),
    "gamma: actual 0, expected 0.7": ("position_attention", TINY, {f"{ATTENTION}.gamma": np.zeros(1)}),
    "gamma: actual 0.6, expected -0.6": (
        "channel_attention",
        TINY,
        {"head.channel_attention.gamma": np.array([-rule("head.channel_attention.gamma")[0]])},
    ),
    "BatchNorm epsilon: stem": ("stem", TINY.replace(batch_norm_epsilon=1e-3), {}),
    "BatchNorm: every channel of stem": ("stem", TINY, {"backbone.bn1.running_var": np.ones(8)}),
    "BatchNorm: every channel of channel_out": ("channel_out", TINY, {"head.channel_out.bn.weight": np.ones(24)}),
    "actual half_pixel, expected corners": ("fused", TINY.replace(upsample_grid="half_pixel"), {}),
    "actual asymmetric, expected corners": ("fused", TINY.replace(upsample_grid="asymmetric"), {}),
    "mismatch in layer3: dilation": ("layer3", TINY.replace(contract_dilation=False), {}),
    "mismatch in layer4: dilation (multi_grid": ("layer4", TINY.replace(multi_grid=(1, 2)), {}),
    "mismatch in the first stage": (
        "stem",
        TINY,
        {"backbone.conv1.weight": rule("backbone.conv1.weight").swapaxes(2, 3)},
    ),
    "mismatch in the fused classifier": ("fused_logits", TINY, {f"{CLASSIFIER}.weight": -rule(f"{CLASSIFIER}.weight")}),
}


@pytest.mark.parametrize("sentence", NETWORK_MISTAKES)
def test_mistake_in_config_or_weights(sentence: str, expected: Arrays) -> None:
    stage, config, changes = NETWORK_MISTAKES[sentence]
    report = compare(expected, run(config, changes))
    assert report.first_mismatch == stage
    assert sentence in str(report.cause)


def test_epsilon_behind_a_deep_stem() -> None:
    """Three normalisations deep the error is no longer one line per channel, but nearly."""
    deep = TINY.replace(stem="deep", stem_widths=(6, 7, 8))
    report = compare(run(deep), run(deep.replace(batch_norm_epsilon=1e-3)))
    assert "BatchNorm epsilon: stem" in str(report.cause)


def same_padding(x: np.ndarray) -> np.ndarray:
    """A max pool padded below and right only, as 'same' does on even sizes."""
    padded = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows[:, :, ::2, ::2].max(axis=(4, 5))


def edge_padding(x: np.ndarray, amount: int, value: float) -> np.ndarray:
    """Padding that repeats the edge, whatever `value` is."""
    return np.pad(x, ((0, 0), (0, 0), (amount, amount), (amount, amount)), mode="edge")


def padded_average(x: np.ndarray) -> np.ndarray:
    """An average pool that counts its padding as pixels."""
    padded = np.pad(x, ((0, 0), (0, 0), *((0, size % 2) for size in x.shape[2:])))
    return (padded[:, :, ::2, ::2] + padded[:, :, 1::2, ::2] + padded[:, :, ::2, 1::2] + padded[:, :, 1::2, 1::2]) / 4


def shortened(bits: int) -> Callable[..., np.ndarray]:
    """Convolution whose operands keep so many bits after the leading one; TF32 keeps 10, bfloat16 7."""
    convolve = operations.convolve

    def rounded(x: np.ndarray) -> np.ndarray:
        fraction, exponent = np.frexp(x)
        return np.ldexp(np.round(np.ldexp(fraction, bits + 1)), exponent - bits - 1)

    return lambda x, weight, *rest: convolve(rounded(x), rounded(weight), *rest)


# sentence -> stage, name of the operation, its mistaken twin
OPERATION_MISTAKES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "padding of the max pool": ("layer1", "max_pool", same_padding),
    "padding: stem is wrong only within 2 of the border": ("stem", "pad", edge_padding),
    "float32 arithmetic somewhere": ("layer1", "convolve", shortened(23)),  # the synthetic values have 24 bits
    "TF32 or float16 arithmetic": ("stem", "convolve", shortened(10)),
    "bfloat16 arithmetic": ("stem", "convolve", shortened(7)),
}


@pytest.mark.parametrize("sentence", OPERATION_MISTAKES)
def test_mistake_in_an_operation(sentence: str, expected: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, operation, mistaken = OPERATION_MISTAKES[sentence]
    monkeypatch.setattr(operations, operation, mistaken)
    report = compare(expected, run())
    assert report.first_mismatch == stage
    assert sentence in str(report.cause)


def test_padding_that_an_average_pool_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    config, size = TINY.replace(avg_down=True), (137, 137)  # layer1 has 35 x 35 pixels: odd
    expected = run(config, size=size)
    monkeypatch.setattr(operations, "average_pool", padded_average)
    report = compare(expected, run(config, size=size))
    assert report.first_mismatch == "layer2"
    assert "bottom and right border: ceil mode of a pool" in str(report.cause)

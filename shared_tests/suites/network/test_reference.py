"""The reference: each operation against loops and against torch in float64, the whole against its table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from danet_common.config import DANetConfig
from danet_common.config.variants import VARIANTS
from danet_common.numerics.taps import tap_names
from shared_tests import reference
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_input, synthetic_tensors
from shared_tests.reference import operations

TINY = VARIANTS["danet_tiny"]
GRIDS = ("corners", "half_pixel", "asymmetric")
CONVOLUTIONS = [(1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 4, 4), (3, 2, 2, 2), (7, 2, 3, 1)]
ROUNDING = 1e-13  # relative; sums of a few hundred float64 products in another order


@pytest.fixture
def torch() -> Any:
    """torch in float64, as a second opinion."""
    return pytest.importorskip("torch")


def values(name: str, *shape: int) -> np.ndarray:
    return synthetic_array(name, shape).astype(np.float64)


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= ROUNDING * np.abs(other).max())


@pytest.mark.parametrize(("size", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_convolution_is_the_direct_sum(size: int, stride: int, padding: int, dilation: int) -> None:
    x, weight, bias = values("x", 2, 3, 9, 8), values("w", 4, 3, size, size), values("b", 4)
    actual = operations.convolve(x, weight, bias, stride, padding, dilation)
    height, width = ((n + 2 * padding - dilation * (size - 1) - 1) // stride + 1 for n in (9, 8))
    assert actual.shape == (2, 4, height, width)
    for image, channel, row, column in np.ndindex(actual.shape):
        total = bias[channel]
        for source, i, j in itertools.product(range(3), range(size), range(size)):
            y, z = row * stride + i * dilation - padding, column * stride + j * dilation - padding
            if 0 <= y < 9 and 0 <= z < 8:
                total += x[image, source, y, z] * weight[channel, source, i, j]
        assert math.isclose(actual[image, channel, row, column], total, rel_tol=0, abs_tol=1e-13)


@pytest.mark.parametrize(("size", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_convolution_is_torchs(torch: Any, size: int, stride: int, padding: int, dilation: int) -> None:
    x, weight, bias = values("x", 2, 5, 17, 14), values("w", 4, 5, size, size), values("b", 4)
    expected = torch.nn.functional.conv2d(*map(torch.tensor, (x, weight, bias)), stride, padding, dilation).numpy()
    assert agree(operations.convolve(x, weight, bias, stride, padding, dilation), expected)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 7), (8, 6)])
def test_max_pool_is_the_largest_of_what_is_there(torch: Any, shape: tuple[int, int]) -> None:
    x = values("x", 2, 3, *shape) - 2  # all negative: a zero in the padding would win
    actual = operations.max_pool(x)
    for row, column in np.ndindex(actual.shape[2:]):
        window = x[:, :, max(2 * row - 1, 0) : 2 * row + 2, max(2 * column - 1, 0) : 2 * column + 2]
        assert np.array_equal(actual[:, :, row, column], window.max(axis=(2, 3)))
    assert np.array_equal(actual, torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, 1).numpy())


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 7), (8, 6)])
def test_average_pool_divides_by_real_pixels(torch: Any, shape: tuple[int, int]) -> None:
    x = values("x", 2, 3, *shape)
    actual = operations.average_pool(x)
    assert actual.shape[2:] == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    for row, column in np.ndindex(actual.shape[2:]):
        pixels = [(y, z) for y in (2 * row, 2 * row + 1) for z in (2 * column, 2 * column + 1)]
        inside = [x[:, :, y, z] for y, z in pixels if y < shape[0] and z < shape[1]]
        assert np.allclose(actual[:, :, row, column], sum(inside) / len(inside), rtol=1e-14, atol=1e-15)
    pool = torch.nn.functional.avg_pool2d
    assert agree(actual, pool(torch.tensor(x), 2, 2, ceil_mode=True, count_include_pad=False).numpy())


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 7)])
def test_average_pool_of_stride_1_counts_zeros(torch: Any, shape: tuple[int, int]) -> None:
    x = values("x", 2, 3, *shape)
    padded = torch.nn.functional.pad(torch.tensor(x), (0, 1, 0, 1))
    assert agree(operations.average_pool_same(x), torch.nn.functional.avg_pool2d(padded, 2, 1).numpy())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("small", "large"), [((5, 7), (33, 47)), ((1, 3), (8, 1)), ((9, 8), (4, 3)), ((4, 6), (4, 6))])
def test_resize_interpolates_between_neighbours(grid: str, small: tuple[int, int], large: tuple[int, int]) -> None:
    def source(i: int, size: int, expected: int) -> float:
        if grid == "corners":
            return i * (size - 1) / (expected - 1) if expected > 1 else 0.0
        return max(0.0, (i + 0.5) * size / expected - 0.5) if grid == "half_pixel" else i * size / expected

    x = values("x", 2, 3, *small)
    actual = operations.resize(x, *large, grid)
    for row, column in np.ndindex(large):
        y, z = source(row, small[0], large[0]), source(column, small[1], large[1])
        total = np.zeros((2, 3))
        for i, j in itertools.product((math.floor(y), math.floor(y) + 1), (math.floor(z), math.floor(z) + 1)):
            share = (1 - abs(y - i)) * (1 - abs(z - j))
            total += share * x[:, :, min(i, small[0] - 1), min(j, small[1] - 1)]
        assert np.allclose(actual[:, :, row, column], total, rtol=0, atol=1e-14)


@pytest.mark.parametrize("grid", ["corners", "half_pixel"])
@pytest.mark.parametrize(("small", "large"), [((5, 7), (33, 47)), ((1, 3), (8, 1)), ((8, 4), (64, 9))])
def test_resize_is_torchs(torch: Any, grid: str, small: tuple[int, int], large: tuple[int, int]) -> None:
    x = values("x", 2, 3, *small)
    interpolate = torch.nn.functional.interpolate
    expected = interpolate(torch.tensor(x), large, mode="bilinear", align_corners=grid == "corners").numpy()
    assert agree(operations.resize(x, *large, grid), expected)


def test_resize_refuses_an_unknown_grid() -> None:
    with pytest.raises(ValueError, match="grid must be corners, half_pixel or asymmetric; got 'nearest'"):
        operations.resize(values("x", 1, 1, 2, 2), 4, 4, "nearest")


def test_batch_norm_is_torchs_in_both_modes(torch: Any) -> None:
    config = TINY.replace(dropout_rate=0.0, batch_norm_momentum=0.3, batch_norm_epsilon=1e-2)
    tensors, x = synthetic_tensors(config), synthetic_input(config, 2, 33, 47)
    names = [f"backbone.bn1.{leaf}" for leaf in ("running_mean", "running_var", "weight", "bias")]
    convolved = operations.convolve(x.astype(float), tensors["backbone.conv1.weight"].astype(float), None, 2, 3)
    for training in (False, True):
        mean, variance, scale, shift = (torch.tensor(tensors[name], dtype=torch.float64) for name in names)
        arguments = (torch.tensor(convolved), mean, variance, scale, shift, training, 0.3, 1e-2)
        stem = torch.nn.functional.batch_norm(*arguments).relu().numpy()
        result = reference.forward(config, tensors, x, training=training, taps=["stem"])
        assert agree(result.taps["stem"], stem)
        if training:
            assert agree(result.statistics[names[0]], mean.numpy())
            assert agree(result.statistics[names[1]], variance.numpy())
            counter = "backbone.bn1.num_batches_tracked"
            assert result.statistics[counter] == tensors[counter] + 1
            assert set(result.statistics) == {name for name in tensors if name.endswith(("_mean", "_var", "_tracked"))}
        else:
            assert not result.statistics


def test_attention_is_the_papers_sum() -> None:
    tensors, x = synthetic_tensors(TINY), synthetic_input(TINY, 2, 17, 23)
    taps = reference.forward(TINY, tensors, x, taps="all").taps
    features, positions = taps["position_in"][1], list(np.ndindex(taps["position_in"].shape[2:]))
    query, key, value = (taps[f"position_{name}"][1] for name in ("query", "key", "value"))
    for n, (row, column) in enumerate(positions):
        energy = np.array([query[:, row, column] @ key[:, y, z] for y, z in positions])
        share = np.exp(energy) / np.exp(energy).sum()
        assert np.allclose(taps["position_map"][1, n], share, rtol=1e-12, atol=0)
        gathered = sum(s * value[:, y, z] for s, (y, z) in zip(share, positions, strict=True))
        expected = tensors["head.position_attention.gamma"][0] * gathered + features[:, row, column]
        assert np.allclose(taps["position_attention"][1, :, row, column], expected, rtol=1e-12, atol=1e-13)

    features = taps["channel_in"][1]
    for c in range(len(features)):
        energy = np.array([(features[c] * other).sum() for other in features])
        share = np.exp(-energy) / np.exp(-energy).sum()
        assert np.allclose(taps["channel_map"][1, c], share, rtol=1e-12, atol=0)
        gathered = sum(s * other for s, other in zip(share, features, strict=True))
        expected = tensors["head.channel_attention.gamma"][0] * gathered + features[c]
        assert np.allclose(taps["channel_attention"][1, c], expected, rtol=1e-12, atol=1e-14)


STRUCTURES = [
    TINY,
    TINY.replace(output_stride=16, multi_grid=(1, 2, 4)),
    TINY.replace(output_stride=32, layers=(1, 2, 1, 4), multi_grid=(3, 5)),
    TINY.replace(block="bottleneck", contract_dilation=False, layers=(1, 2, 2, 2)),
    TINY.replace(stem="deep", stem_widths=(4, 5, 8), avg_down=True, auxiliary="fcn", auxiliary_channels=7),
    TINY.replace(context=("channel",), auxiliary="linear", head_channels=None),
    TINY.replace(context=("position",), query_channels=None, branch_classifiers=False),
    TINY.replace(context=(), num_classes=1, in_channels=1, mean=(0,), std=(1,)),
]


@pytest.mark.parametrize("config", STRUCTURES)
def test_structure_is_the_configs(config: DANetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strides and dilations as used, taps and outputs as returned: danet_common derives the same."""
    spread, strides = [], []
    convolve = operations.convolve

    def recorded(x: Any, weight: Any, bias: Any, stride: int, padding: int, dilation: int) -> Any:
        if weight.shape[2] == 3:
            assert padding == dilation
            spread.append(dilation)
            strides.append(stride)
        return convolve(x, weight, bias, stride, padding, dilation)

    monkeypatch.setattr(operations, "convolve", recorded)
    result = reference.forward(config, synthetic_tensors(config), synthetic_input(config, 2, 35, 43), taps="all")
    assert tuple(result.taps) == tap_names(config)
    assert tuple(result.outputs) == config.outputs
    assert all(logits.shape == (2, config.num_classes, 35, 43) for logits in result.outputs.values())
    per_block = 2 if config.block == "basic" else 1
    skipped = 3 if config.stem == "deep" else 0
    blocks = per_block * sum(config.layers)
    expected = [dilation for layer in config.block_dilations for dilation in layer for _ in range(per_block)]
    assert spread[skipped : skipped + blocks] == expected
    firsts = skipped + per_block * np.cumsum((0, *config.layers[:3]))
    assert tuple(strides[index] for index in firsts) == config.stage_strides
    assert all(
        size == -(-length // config.output_stride)
        for size, length in zip(result.taps["layer4"].shape[2:], (35, 43), strict=True)
    )


def test_only_asked_stages_are_kept() -> None:
    tensors, x = synthetic_tensors(TINY), synthetic_input(TINY, 1, 9, 11)
    assert list(reference.forward(TINY, tensors, x, taps=("channel_map", "stem")).taps) == ["stem", "channel_map"]
    assert not reference.forward(TINY, tensors, x).taps
    with pytest.raises(ValueError, match="unknown taps layer5; this network has stem, layer1"):
        reference.forward(TINY, tensors, x, taps=["layer5"])


def test_faulty_tensors_are_refused() -> None:
    tensors, x = synthetic_tensors(TINY), synthetic_input(TINY, 2, 9, 11)
    name = "head.fused_classifier.bias"
    with pytest.raises(ValueError, match=f"missing tensor {name}"):
        reference.forward(TINY, {key: value for key, value in tensors.items() if key != name}, x)
    with pytest.raises(ValueError, match=f"no place for: extra.{name}"):
        reference.forward(TINY, {**tensors, f"extra.{name}": tensors[name]}, x)
    with pytest.raises(ValueError, match=rf"{name} has shape \(18,\), expected \(19,\)"):
        reference.forward(TINY, {**tensors, name: tensors[name][:-1]}, x)


def test_training_refuses_dropout_and_lone_values() -> None:
    tensors = synthetic_tensors(TINY)
    with pytest.raises(ValueError, match=r"training needs dropout_rate 0; got 0\.1"):
        reference.forward(TINY, tensors, synthetic_input(TINY, 2, 9, 11), training=True)
    with pytest.raises(ValueError, match="more than one value per channel"):
        reference.forward(TINY.replace(dropout_rate=0.0), tensors, synthetic_input(TINY, 1, 1, 1), training=True)


def test_loss_is_the_sum_of_products() -> None:
    outputs = {"fused": np.array([1.0, 2.0]), "aux": np.array([3.0, 4.0])}
    assert reference.loss(outputs, {"fused": np.array([1.0, -1.0]), "aux": np.array([0.5, 0.25])}) == 1.5
    assert reference.loss(outputs, {"aux": np.array([1.0, 0.0])}) == 3.0

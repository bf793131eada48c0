"""Other people's trained layouts, converted, give what their own code gave: recorded outputs, in all frameworks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import Checkpoint, read_checkpoint, tap_names, write_checkpoint
from shared_tests.fixtures import recorded, upstream_checkpoints
from shared_tests.fixtures.recorded import FOLDER, Recording
from shared_tests.fixtures.synthetic import synthetic_input
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.suites.upstream_networks import write_upstream_checkpoint
from shared_tests.workers.protocol import Request

FLOAT64 = 1e-9  # relative to the map's largest value: their float64 run and ours add in other orders
ROUNDED = 2.0**-23  # features are kept in float32
WIDE = 1e-10  # relative: the same weights and float64 sums in another order
FLOAT32 = 5  # times the upstream float32 noise

NAMES = sorted(path.stem for path in FOLDER.glob("*.npz") if not path.stem.endswith(".features"))


# The quick tests take each file in one framework, seldom in JAX, which compiles it. The parity tests hold frameworks
# to each other.
FLOAT64_TURNS = ("torch", "tf", "torch", "jax")
FLOAT32_TURNS = ("jax", "torch", "tf", None, None, None, None, None)  # float64 runs these files already


def in_turn(turns: tuple[str | None, ...]) -> list[Any]:
    """Every file in every framework; slow where it is not the framework's turn."""
    return [
        pytest.param(name, backend, marks=[pytest.mark.slow] * (backend != turns[number % len(turns)]))
        for number, name in enumerate(NAMES)
        for backend in NETWORKS
    ]


# Declared in the schema: a bias before a BatchNorm comes back as 0, and the mean without it.
FOLDED = {
    "paddle_r50_vd": {
        f"head.{layer}._conv.bias": f"head.{layer}._batch_norm._mean"
        for layer in ("channel_conv", "position_conv", "conv1", "conv2")
    }
}
Converted = Callable[[str], tuple[Recording, Path]]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Name -> the recording, and the canonical file made from it as its upstream trainer saved it."""
    made: dict[str, tuple[Recording, Path]] = {}

    def get(name: str) -> tuple[Recording, Path]:
        if name not in made:
            pytest.importorskip("torch")
            folder = tmp_path_factory.mktemp(name)
            actual = recorded.load(FOLDER / f"{name}.npz")
            weights_convert.convert(
                upstream_checkpoints.write_checkpoint(actual, folder), folder / "canonical.safetensors"
            )
            made[name] = actual, folder / "canonical.safetensors"
        return made[name]

    return get


def as_a_network(path: Path) -> Path:
    """The same tensors in a file that does not say that only the backbone is its upstream project's."""
    target = path.with_name("network.safetensors")
    checkpoint = read_checkpoint(path)
    write_checkpoint(Checkpoint(checkpoint.config, checkpoint.tensors), target)
    return target


def run(backend: str, dtype: str, converted: tuple[Recording, Path], start: Start) -> dict[str, np.ndarray]:
    actual, path = converted
    checkpoint = read_checkpoint(path, verify=False)
    if checkpoint.source.get("backbone_only"):  # which `load` refuses: its head is drawn
        path = as_a_network(path)
    taps = tuple(name for name in tap_names(checkpoint.config) if name in actual.records)
    response = start(backend).run(
        Request(checkpoint=str(path), x=actual.x, dtype=dtype, mode=FASTEST[backend], taps=taps)
    )
    return {**response.taps, **response.outputs}


@pytest.mark.parametrize("name", NAMES)
def test_features_are_recorded(name: str) -> None:
    """A file whose features were lost would pass with less."""
    records = recorded.load(FOLDER / f"{name}.npz").records
    assert {"layer4"} < set(records)
    assert any(record.rounded for record in records.values())


def test_install_without_features_has_the_logits(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "official_r50_plain_mg.npz", tmp_path)
    records = recorded.load(tmp_path / "official_r50_plain_mg.npz").records
    assert set(records) == {f"{name}{kind}" for name in ("fused", "position", "channel") for kind in ("", "_logits")}


@pytest.mark.parametrize(("name", "backend"), in_turn(FLOAT64_TURNS))
def test_float64(name: str, backend: str, converted: Converted, start: Start) -> None:
    actual, _ = converted(name)
    differences = recorded.mismatches(actual, run(backend, "float64", converted(name), start))
    for output, difference in differences.items():
        record = actual.records[output]
        bound = (ROUNDED if record.rounded else FLOAT64) * np.abs(record.values).max()
        assert difference <= bound, (output, difference, bound)


@pytest.mark.parametrize(("name", "backend"), in_turn(FLOAT32_TURNS))
def test_float32(name: str, backend: str, converted: Converted, start: Start) -> None:
    actual, _ = converted(name)
    differences = recorded.mismatches(actual, run(backend, "float32", converted(name), start))
    for output, difference in differences.items():
        assert difference <= FLOAT32 * actual.records[output].noise, (output, difference)


@pytest.mark.parametrize("name", NAMES)
def test_out_again(name: str, converted: Converted, tmp_path: Path) -> None:
    """Written in the upstream layout again: their keys in their order, their shapes, dtypes and bits."""
    actual, path = converted(name)
    target = tmp_path / actual.meta["file_name"]
    weights_convert.convert(path, target, to_schema=read_checkpoint(path).source["schema"])
    written, folded = upstream_checkpoints.read(target), FOLDED.get(name, {})
    assert list(written) == list(actual.state_dict)
    for key, array in actual.state_dict.items():
        assert (written[key].dtype, written[key].shape) == (array.dtype, array.shape), key
        if key not in {*folded, *folded.values()}:
            assert written[key].tobytes() == array.tobytes(), key
    for bias, mean in folded.items():
        assert not written[bias].any()
        assert np.array_equal(written[mean], actual.state_dict[mean] - actual.state_dict[bias]), mean


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("backend", NETWORKS)
def test_timm_dilated_resnet_d(backend: str, stride: int, start: Start, tmp_path: Path) -> None:
    """timm's own code made these features of the same weights: see files/README.md."""
    expected = np.load(FOLDER.parent / "files" / "timm_dilated.npz")
    path = write_upstream_checkpoint(tmp_path, "timm", "d")
    canonical = tmp_path / "canonical.safetensors"
    weights_convert.convert(path, canonical, settings={"output_stride": str(stride)})
    config = read_checkpoint(canonical).config
    taps = ("layer3", "layer4")
    request = Request(
        checkpoint=str(as_a_network(canonical)),
        x=synthetic_input(config, 1, 33, 47),
        dtype="float64",
        mode=FASTEST[backend],
        taps=taps,
    )
    response = start(backend).run(request)
    for name in taps:
        features = expected[f"{name}_of_{stride}"]
        assert np.abs(response.taps[name] - features).max() <= WIDE * np.abs(features).max(), name


def test_wrong_facts_are_seen(converted: Converted, start: Start, tmp_path: Path) -> None:
    """The recorded outputs have teeth: the same weights without their multi-grid are another network."""
    actual, path = converted("official_r50_plain_mg")
    original = read_checkpoint(path)
    changed = Checkpoint(original.config.replace(multi_grid=None), original.tensors)
    write_checkpoint(changed, tmp_path / "changed.safetensors")
    differences = recorded.mismatches(
        actual, run("torch", "float32", (actual, tmp_path / "changed.safetensors"), start)
    )
    assert differences["fused"] > 1000 * actual.records["fused"].noise

"""Every format into every other, bit for bit: all dtypes, scalars, and NaNs that no arithmetic would make."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig, parameters
from weights_convert.formats import WRITERS
from weights_convert.settings import HINTS, format_setting, parse_setting

CONFIG = VARIANTS["danet_tiny"].replace(multi_grid=(1, 2), num_classes=3, class_names=("sky", "road", "other"))
OTHER = CONFIG.replace(block="bottleneck", stem="deep", stem_widths=(4, 4, 8), auxiliary="fcn", auxiliary_channels=10)
ENDINGS = tuple(ending for ending, _ in WRITERS if ending not in (".pt", ".pth.tar"))
CARRY_EXTRA_TENSORS = {".safetensors", ".safetensors.index.json", ".pth", ".npz"}
NAME_OTHERS = {".orbax", ".safetensors.index.json"}  # a directory, and a file that says what others are called
DTYPES = tuple(np.dtype(kind) for kind in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16))

pytest.importorskip("h5py")
pytest.importorskip("orbax.checkpoint")


def random_bits(config: DANetConfig) -> Checkpoint:
    """Tensors of all dtypes in turn, of random bits: quiet and signalling NaNs of any payload are among them."""
    generator = np.random.default_rng(0)
    dtypes = itertools.cycle(DTYPES)

    def draw(shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
        return np.frombuffer(generator.bytes(int(np.prod(shape)) * kind.itemsize), kind).reshape(shape)

    tensors = {
        name: draw(parameter.shape, np.dtype(np.int64) if parameter.kind == "count" else next(dtypes))
        for name, parameter in parameters(config).items()
    }
    extra_tensors = {"fc.weight": draw((5, 2), np.dtype(np.float32)), "fc.step": draw((), np.dtype(np.int64))}
    return Checkpoint(config, tensors, extra_tensors, {"schema": "official", "defaulted": {"multi_grid": "1,2"}})


def test_every_format_into_every_other(tmp_path: Path) -> None:
    original = random_bits(CONFIG)
    for ending in ENDINGS:
        weights_convert.write(original, tmp_path / f"first{ending}")
    for source, target in itertools.product(ENDINGS, ENDINGS):
        destination = tmp_path / f"second{target}"
        weights_convert.convert(tmp_path / f"first{source}", destination, force=True)
        result = weights_convert.read(destination)
        assert result.hashes() == original.hashes(), (source, target)
        assert (result.config, result.source) == (original.config, original.source), (source, target)
        carried = original.extra_tensors if {source, target} <= CARRY_EXTRA_TENSORS else {}
        assert result.extra_tensors.keys() == carried.keys(), (source, target)
        assert all(result.extra_tensors[key].tobytes() == array.tobytes() for key, array in carried.items())


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_architecture(ending: str, tmp_path: Path) -> None:
    original = random_bits(OTHER)
    weights_convert.write(original, tmp_path / f"model{ending}")
    result = weights_convert.read(tmp_path / f"model{ending}")
    assert result.hashes() == original.hashes()
    assert result.config == OTHER


@pytest.mark.parametrize("ending", ENDINGS)
def test_dropped_passengers_are_said(ending: str, tmp_path: Path) -> None:
    lines: list[str] = []
    weights_convert.write(random_bits(CONFIG), tmp_path / f"model{ending}", report=lines.append)
    assert len(lines) == (0 if ending in CARRY_EXTRA_TENSORS else 2)


@pytest.mark.parametrize("ending", sorted(set(ENDINGS) - NAME_OTHERS))
def test_the_same_checkpoint_gives_the_same_bytes(ending: str, tmp_path: Path) -> None:
    for name in "ab":
        weights_convert.write(random_bits(CONFIG), tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_an_orbax_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.orbax"
    weights_convert.write(random_bits(CONFIG), path)
    (path / "state" / "_sharding").write_text("from before")  # which Orbax writes, and we do not
    weights_convert.write(random_bits(OTHER), path)
    assert weights_convert.read(path).config == OTHER
    assert not (path / "state" / "_sharding").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.orbax"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_a_dtype_that_a_format_has_not_is_refused(ending: str, dtype: npt.DTypeLike, tmp_path: Path) -> None:
    tensors = zeros(CONFIG)
    tensors["backbone.conv1.weight"] = tensors["backbone.conv1.weight"].astype(dtype)
    original, path = Checkpoint(CONFIG, tensors), tmp_path / f"model{ending}"
    if "safetensors" in ending:
        weights_convert.write(original, path)
        assert weights_convert.read(path).hashes() == original.hashes()
    else:
        with pytest.raises(CheckpointError, match=rf"dtype .*{np.dtype(dtype).name}"):
            weights_convert.write(original, path)
        assert not list(tmp_path.iterdir())


def test_texts_are_no_numbers(tmp_path: Path) -> None:
    tensors = {**zeros(CONFIG), "head.fused_classifier.bias": np.full(3, "1")}
    np.savez(tmp_path / "model.npz", **tensors)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"bias is <U1, expected floating-point numbers"):
        weights_convert.read(tmp_path / "model.npz")


def test_an_orbax_directory_from_a_folder_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_convert.write(random_bits(CONFIG), tmp_path / "model.orbax")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert weights_convert.read("../model.orbax").config == CONFIG


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_casting_keeps_norms_and_gammas_wide(dtype: str, tmp_path: Path) -> None:
    source = tmp_path / "source.safetensors"
    weights_convert.write(Checkpoint(CONFIG, zeros(CONFIG)), source)
    weights_convert.convert(source, tmp_path / "cast.pth", dtype=dtype)
    result = weights_convert.read(tmp_path / "cast.pth").tensors
    wide = "float64" if dtype == "float64" else "float32"
    for name, parameter in parameters(CONFIG).items():
        expected = "int64" if parameter.kind == "count" else dtype
        if parameter.kind in ("scale", "shift", "mean", "variance", "gamma"):
            expected = wide
        assert result[name].dtype == expected, name


def test_casting_refuses_to_overflow(tmp_path: Path) -> None:
    tensors = zeros(CONFIG)
    tensors["backbone.conv1.weight"] = np.full_like(tensors["backbone.conv1.weight"], 1e6)
    weights_convert.write(Checkpoint(CONFIG, tensors), tmp_path / "source.safetensors")
    with pytest.raises(CheckpointError, match=r"backbone.conv1.weight: it has values too large for float16"):
        weights_convert.convert(tmp_path / "source.safetensors", tmp_path / "cast.pth", dtype="float16")
    assert not (tmp_path / "cast.pth").exists()


@pytest.mark.parametrize(("dtype", "others"), [(ml_dtypes.bfloat16, 0), (np.float32, np.inf)])
def test_casting_refuses_what_is_as_wide_and_what_is_infinite_elsewhere(
    dtype: npt.DTypeLike, others: float, tmp_path: Path
) -> None:
    tensors = zeros(CONFIG)
    tensors["backbone.conv1.weight"] = np.full(tensors["backbone.conv1.weight"].shape, others, dtype)
    tensors["backbone.conv1.weight"][0] = 1e6
    weights_convert.write(Checkpoint(CONFIG, tensors), tmp_path / "source.safetensors")
    with pytest.raises(CheckpointError, match=r"backbone.conv1.weight: it has values too large for float16"):
        weights_convert.convert(tmp_path / "source.safetensors", tmp_path / "cast.pth", dtype="float16")


def zeros(config: DANetConfig) -> dict[str, np.ndarray]:
    return {
        name: np.zeros(parameter.shape, np.int64 if parameter.kind == "count" else np.float32)
        for name, parameter in parameters(config).items()
    }


def test_every_field_of_a_config_as_a_setting() -> None:
    config = OTHER.replace(num_classes=2, class_names=("a", "b"), palette=((1, 2, 3), (4, 5, 6)))
    for field in HINTS:
        value = getattr(config, field)
        assert parse_setting(field, format_setting(value)) == value


def test_inspect_tells_what_a_file_is(tmp_path: Path) -> None:
    original = random_bits(CONFIG)
    weights_convert.write(original, tmp_path / "model.npz")
    actual = weights_convert.inspect(tmp_path / "model.npz")
    assert (actual.format, actual.schema, actual.config) == ("npz", "official", CONFIG)
    assert actual.classes == ("sky", "road", "other")
    assert actual.defaulted == {"multi_grid": "1,2"}
    assert {tensor.name: tensor.sha256 for tensor in actual.tensors} == original.hashes()
    assert [(tensor.name, tensor.shape) for tensor in actual.extra_tensors] == [("fc.weight", (5, 2)), ("fc.step", ())]
    assert actual.bytes == (tmp_path / "model.npz").stat().st_size
    assert json.loads(json.dumps(actual.to_dict()))["config"] == CONFIG.to_dict()

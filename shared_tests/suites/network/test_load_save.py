"""`load` and `save` of the three packages: files of every format, by what they hold and by their ending."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, initial_tensors, write_checkpoint, write_pretrained
from danet_common.checkpoint.network_file import open_network
from danet_common.checkpoint.safetensors_writer import write_safetensors
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.conftest import NETWORKS
from shared_tests.suites.devices.running import KERAS_WARNING
from shared_tests.suites.upstream_networks import write_upstream_checkpoint
from weights_convert.formats import WRITERS

pytestmark = pytest.mark.filterwarnings(KERAS_WARNING)
CONFIG = VARIANTS["danet_tiny"].replace(num_classes=3, class_names=("sky", "road", "other"))
ENDINGS = tuple(ending for ending, _ in WRITERS)

pytest.importorskip("h5py")
pytest.importorskip("orbax.checkpoint")


@pytest.fixture(params=NETWORKS)
def package(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the three packages in turn."""
    return pytest.importorskip(f"danet_{request.param}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind of file -> a network in it."""
    folder = tmp_path_factory.mktemp("files")
    checkpoint = Checkpoint(CONFIG, synthetic_tensors(CONFIG))
    written = {ending: folder / f"network{ending}" for ending in ENDINGS}
    for path in written.values():
        weights_convert.write(checkpoint, path)
    write_pretrained(checkpoint, folder / "hub")
    write_pretrained(checkpoint, folder / "hub in parts", 60_000)
    written |= {"folder": folder / "hub", "folder of a set": folder / "hub in parts"}
    (folder / "run").mkdir()
    write_checkpoint(Checkpoint(CONFIG, initial_tensors(CONFIG)), folder / "run" / "last.safetensors")
    write_checkpoint(checkpoint, folder / "run" / "best.safetensors")
    written["run"] = folder / "run"
    for name, source in {"safetensors under .pth": ".safetensors", "torch under .safetensors": ".pth"}.items():
        written[name] = folder / f"renamed.{name.rpartition('.')[2]}"
        shutil.copy(written[source], written[name])
    return written


def tensors_of(package: ModuleType, model: object) -> Mapping[str, np.ndarray]:
    """Canonical name -> array of a live network."""
    return pytest.importorskip(f"{package.__name__}.parameters").get_tensors(model)


def assert_same(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """The same names and values."""
    assert actual.keys() == expected.keys()
    assert [name for name in actual if not np.array_equal(actual[name], expected[name])] == []


def test_loads_every_format(package: ModuleType, files: dict[str, Path]) -> None:
    for kind, path in files.items():
        model = package.load(str(path))
        assert model.config == CONFIG, kind
        assert_same(tensors_of(package, model), synthetic_tensors(CONFIG))


def test_saves_every_format(package: ModuleType, tmp_path: Path) -> None:
    model = package.DANet(CONFIG)
    for ending in ENDINGS:
        path = tmp_path / f"network{ending}"
        package.save(model, str(path))
        assert weights_convert.inspect(path).format == next(w.NAME for e, w in WRITERS if e == ending)
        assert_same(weights_convert.read(path).tensors, tensors_of(package, model))


def test_the_frameworks_read_what_is_saved(tmp_path: Path) -> None:
    torch, keras = pytest.importorskip("torch"), pytest.importorskip("keras")
    danet_torch, danet_tf = pytest.importorskip("danet_torch"), pytest.importorskip("danet_tf")
    model = danet_torch.DANet(CONFIG)
    danet_torch.save(model, tmp_path / "a.pth")
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    danet_torch.DANet(CONFIG, seed=1).load_state_dict(content["state_dict"], strict=True)
    danet_tf.save(danet_tf.DANet(CONFIG), tmp_path / "a.keras")
    assert_same(tensors_of(danet_tf, keras.models.load_model(tmp_path / "a.keras")), tensors_of(danet_torch, model))


@pytest.mark.parametrize("name", ["a", "a.bin", "a.h5", ".pth", "a.pdparams", "folder"])
def test_refuses_endings_of_no_format(package: ModuleType, name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    known = r"weights_convert\.write\(checkpoint, path, to_schema=" if name == "a.pdparams" else r"\.safetensors"
    with pytest.raises(CheckpointError, match=known):
        package.save(package.DANet(CONFIG), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_layouts_of_others(package: ModuleType, tmp_path: Path) -> None:
    """Assumptions go to `report`, or become a warning."""
    path = write_upstream_checkpoint(tmp_path, "official")
    expected, lines = weights_convert.read(path), list[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = package.load(path, report=lines.append)
    assert lines
    assert_same(tensors_of(package, model), expected.tensors)


def test_assumptions_are_one_warning(tmp_path: Path) -> None:
    path = write_upstream_checkpoint(tmp_path, "official")
    with pytest.warns(UserWarning, match="was read with these assumptions:\n") as caught:
        open_network(path)
    assert len(caught) == 1
    assert caught[0].filename != open_network.__code__.co_filename


def test_takes_the_set_that_is_named(package: ModuleType, tmp_path: Path) -> None:
    raw, path, lines = synthetic_tensors(CONFIG), tmp_path / "a.safetensors", list[str]()
    doubled = {name: array if array.dtype.kind == "i" else array * np.float32(2) for name, array in raw.items()}
    sets = {"model": raw, "ema": doubled}
    write_safetensors({f"{key}.{name}": array for key, each in sets.items() for name, array in each.items()}, path, {})
    for key, expected in {None: raw, "ema": doubled, "model": raw}.items():
        model = package.load(path, report=lines.append, weights_key=key)
        assert_same(tensors_of(package, model), expected)
    assert "left out: ema, moving averages, by its name; --weights-key ema takes it" in lines
    with pytest.raises(CheckpointError, match="has no weights at 'average'; it has model, ema"):
        package.load(path, weights_key="average")
    write_checkpoint(Checkpoint(CONFIG, raw), path)
    with pytest.raises(CheckpointError, match="has no weights at 'ema'; it has one set"):
        package.load(path, weights_key="ema")


def test_a_backbone_alone_is_refused(tmp_path: Path) -> None:
    path = write_upstream_checkpoint(tmp_path, "torchvision")
    with pytest.raises(CheckpointError, match=r"a backbone without a head.*weights_convert\.read"):
        open_network(path)


def test_canonical_files_need_no_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "weights_convert.live.source", None)
    assert open_network(tmp_path / "a.safetensors").config == CONFIG
    with pytest.raises(ImportError):
        open_network(tmp_path)


def test_what_is_no_checkpoint(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"{}")
    (tmp_path / "b.pth").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        package.load(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"b\.pth: a PNG image, not a checkpoint"):
        package.load(tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        package.load(tmp_path / "c.safetensors")

"""Over devices and over files: each holder reads its own part, and the whole computes as if it were in one place."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import Checkpoint, CheckpointError, open_checkpoint, read_checkpoint, write_shards
from danet_common.checkpoint.canonical import EXTRA_TENSOR, on_disk
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.devices.running import CONFIG, float64_checkpoint, run_program
from shared_tests.suites.environment import cpu_devices

ROUNDING = 1e-12  # of float64, through the whole network; 2e-15 was seen
SHARD_BYTES = 60_000
NAME = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A canonical checkpoint in float64."""
    return float64_checkpoint(tmp_path_factory.mktemp("float64"))


def test_torch_on_two_processes(path: Path, tmp_path: Path) -> None:
    """From the meta device to FSDP2's and to distribute_tensor's DTensors."""
    actual: Any = run_program("torch_mesh", path, tmp_path, needs=("torch",))
    assert len(actual) == 2
    for rank in actual:
        assert rank["difference"] < ROUNDING
        for name in ("fully_shard", "distribute_tensor"):
            assert rank[name]["equal"]
            assert rank[name]["read"] == rank[name]["held"] < 0.6 * rank["file"]  # statistics are whole on both


def test_jax_on_eight_devices(path: Path) -> None:
    environment = {"XLA_FLAGS": cpu_devices(8), "JAX_ENABLE_X64": "1"}
    actual = run_program("jax_mesh", path, needs=("jax", "flax"), environment=environment)
    assert actual["devices"] == 8
    for name in ("mesh", "function", "device"):
        assert actual[name]["equal"]
        assert actual[name]["excess"] == []  # no device's callback read more than its slice, and none twice
    assert actual["mesh"]["split"] > 80
    assert actual["function"]["split"] == 20
    for name in ("mesh", "function"):
        assert actual[name]["difference"] < ROUNDING
    assert actual["on the device"]
    assert "axis_types=(jax.sharding.AxisType.Auto,)" in actual["explicit"]


def test_tensorflow_mirrored_on_two_devices(path: Path) -> None:
    environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
    actual = run_program("tf_strategy", path, needs=("tensorflow", "keras"), environment=environment)
    assert actual["replicas"] == 2
    for name in ("load", "to_keras"):
        assert actual[name] < ROUNDING
        assert actual[f"{name} mirrored"]


def checkpoint(seed: int = 0) -> Checkpoint:
    """A checkpoint with an extra tensor."""
    extra_tensors = {"fc.weight": np.ones((2, 3), np.float32), "step": np.asarray(seed, np.int32)}
    return Checkpoint(CONFIG, synthetic_tensors(CONFIG), extra_tensors, {"seed": seed})


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


class TestFiles:
    """Sets of safetensors files with an index."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        original = checkpoint()
        write_shards(original, tmp_path / NAME, SHARD_BYTES)
        for read in (read_checkpoint, weights_convert.read):
            actual = read(tmp_path / NAME)
            assert actual.hashes() == original.hashes()
            assert (actual.config, actual.source) == (original.config, original.source)
            assert list(actual.tensors) == list(original.tensors)
            assert {name: array.tolist() for name, array in actual.extra_tensors.items()} == {
                name: array.tolist() for name, array in original.extra_tensors.items()
            }

    def test_the_layout_is_the_hubs(self, tmp_path: Path) -> None:
        write_shards(checkpoint(), tmp_path / NAME, SHARD_BYTES)
        content = json.loads((tmp_path / NAME).read_text())
        names = sorted(set(content["weight_map"].values()))
        digest = names[0].split("-")[1]
        assert re.fullmatch("[0-9a-f]{16}", digest)
        assert names == [f"model-{digest}-{number:05d}-of-00006.safetensors" for number in range(1, 7)]
        assert listing(tmp_path) == [*names, NAME]
        stored = on_disk(checkpoint())
        assert content["weight_map"].keys() == stored.keys()
        assert content["metadata"]["total_size"] == sum(array.nbytes for array in stored.values())
        for name in names:
            assert (tmp_path / name).stat().st_size < SHARD_BYTES + 10_000  # and its header

    def test_a_tensor_larger_than_a_shard_has_one_to_itself(self, tmp_path: Path) -> None:
        write_shards(checkpoint(), tmp_path / NAME, 1)
        assert len(listing(tmp_path)) == len(synthetic_tensors(CONFIG)) + 2 + 1
        assert read_checkpoint(tmp_path / NAME).hashes() == checkpoint().hashes()

    def test_an_older_set_is_replaced_whole(self, tmp_path: Path) -> None:
        for seed, size in enumerate((SHARD_BYTES, SHARD_BYTES, 100_000, SHARD_BYTES)):
            write_shards(checkpoint(seed), tmp_path / NAME, size)
            assert read_checkpoint(tmp_path / NAME).source == {"seed": seed}
            assert len(listing(tmp_path)) == len(set(open_checkpoint(tmp_path / NAME).tensors.files.values())) + 1

    @pytest.mark.parametrize("fails_at", [0, 3, 6])
    def test_a_failure_leaves_the_older_set(
        self, fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_shards(checkpoint(0), tmp_path / NAME, SHARD_BYTES)
        before = {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)}
        replaced: list[object] = []
        replace = os.replace

        def fail(*arguments: Any) -> None:
            if len(replaced) == fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replaced.append(arguments)
            replace(*arguments)

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            write_shards(checkpoint(1), tmp_path / NAME, SHARD_BYTES)
        assert {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)} == before

    def test_converting(self, tmp_path: Path) -> None:
        weights_convert.write(checkpoint(), tmp_path / "one.safetensors")
        report = weights_convert.convert(tmp_path / "one.safetensors", tmp_path / NAME)
        assert report.format == "safetensors index"
        weights_convert.convert(tmp_path / NAME, tmp_path / "back.safetensors")
        assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()

    def test_an_owners_set(self, tmp_path: Path) -> None:
        """Without a manifest the schema is recognised, as in a single file."""
        write_shards(checkpoint(), tmp_path / NAME, SHARD_BYTES)
        content = json.loads((tmp_path / NAME).read_text())
        del content["metadata"]["danet"]
        (tmp_path / NAME).write_text(json.dumps(content))
        lines: list[str] = []
        with pytest.raises(CheckpointError, match="without a danet manifest"):
            read_checkpoint(tmp_path / NAME)
        assert weights_convert.read(tmp_path / NAME, report=lines.append).hashes() == checkpoint().hashes()
        assert any(line.startswith("left out: ") and EXTRA_TENSOR.rstrip(".") in line for line in lines)


BROKEN: dict[str, tuple[Any, str]] = {
    "cut short": (lambda text: text[:-1], "cut short or damaged"),
    "no map": (lambda text: text.replace('"weight_map"', '"weights"'), "unknown content"),
    "a file elsewhere": (lambda text: re.sub(r"model(-\w+-00003)", r"../model\1", text), "no `.safetensors` beside it"),
    "an absolute file": (
        lambda text: re.sub(r"model(-\w+-00003)", r"/etc/model\1", text),
        "no `.safetensors` beside it",
    ),
    "another kind of file": (lambda text: text.replace(".safetensors", ".bin"), "no `.safetensors` beside it"),
    "a missing file": (lambda text: text.replace("-00003-of-", "-00009-of-"), "files of the set are missing"),
    "a tensor elsewhere": (lambda text: text.replace("-00003-of-", "-00002-of-"), "do not hold what the index says"),
    "a key twice": (lambda text: text.replace("backbone.bn1.bias", "backbone.bn1.weight"), "a key is there twice"),
    "nested deeply": (lambda text: '{"weight_map":' + "[" * 100_000, "nested too deeply"),
    "no object": (lambda text: '{"weight_map": []}', "without tensors"),
    "another object": (lambda text: '{"weight_map": {"a": 1}}', "cut short or damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_sets(name: str, tmp_path: Path) -> None:
    change, message = BROKEN[name]
    write_shards(checkpoint(), tmp_path / NAME, SHARD_BYTES)
    (tmp_path / NAME).write_text(change((tmp_path / NAME).read_text()))
    before = listing(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        weights_convert.read(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_a_changed_tensor_is_noticed(tmp_path: Path) -> None:
    write_shards(checkpoint(), tmp_path / NAME, SHARD_BYTES)
    (shard,) = tmp_path.glob("model-*-00003-of-00006.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    for read in (read_checkpoint, weights_convert.read):
        with pytest.raises(CheckpointError, match="SHA-256 differs"):
            read(tmp_path / NAME)
    tensors = open_checkpoint(tmp_path / NAME).tensors
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        dict(tensors)


def test_parts(tmp_path: Path) -> None:
    write_shards(checkpoint(), tmp_path / NAME, SHARD_BYTES)
    tensors = open_checkpoint(tmp_path / NAME).tensors
    name = "head.position_in.conv.weight"
    whole = checkpoint().tensors[name]
    for index in (np.s_[2:5, :, 1:2, :], np.s_[:, 3:4, :, -1:], np.s_[5:5, :, :, :]):
        assert np.array_equal(tensors.part(name, index), whole[index])
    assert (
        tensors.part("backbone.bn1.num_batches_tracked", ()) == checkpoint().tensors["backbone.bn1.num_batches_tracked"]
    )
    with pytest.raises(IndexError, match="step 1"):
        tensors.part(name, np.s_[::2, :, :, :])

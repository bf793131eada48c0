"""The folder convention of the Hugging Face hub, offline and with a hub that a test plays."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import weights_convert
from danet_common import Checkpoint, CheckpointError, open_pretrained, write_pretrained
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.devices.running import CONFIG

NAMED = CONFIG.replace(num_classes=3, class_names=("sky", "road | `path`", "other"), multi_grid=(1, 2))


def checkpoint() -> Checkpoint:
    """A checkpoint that names its classes and where it comes from."""
    return Checkpoint(NAMED, synthetic_tensors(NAMED), source={"schema": "official", "note": "a\n---\n| b"})


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def change_config(folder: Path, **fields: Any) -> None:
    """Change fields of a folder's config.json; None removes one."""
    content = {**json.loads((folder / "config.json").read_text()), **fields}
    content = {name: value for name, value in content.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(content))


def test_there_and_back(tmp_path: Path) -> None:
    write_pretrained(checkpoint(), tmp_path / "net")
    assert listing(tmp_path) == ["net"]
    assert listing(tmp_path / "net") == ["README.md", "config.json", "model.safetensors"]
    for actual in (open_pretrained(tmp_path / "net"), weights_convert.read(tmp_path / "net")):
        assert actual.hashes() == checkpoint().hashes()
        assert (actual.config, actual.source) == (NAMED, checkpoint().source)
    content = json.loads((tmp_path / "net" / "config.json").read_text())
    assert (content.pop("model_type"), content.pop("format_version")) == ("danet", 1)
    assert content == json.loads(json.dumps(NAMED.to_dict()))
    assert weights_convert.inspect(tmp_path / "net").format == "pretrained folder"


def test_with_several_files_and_back_to_one(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("stays")
    names = ["README.md", "config.json", "mine.txt"]
    for size in (None, 60_000, 60_000, None):
        write_pretrained(checkpoint(), tmp_path, size)
        assert open_pretrained(tmp_path).hashes() == checkpoint().hashes()
        files = [name for name in listing(tmp_path) if name not in names]
        assert len(files) == (1 if size is None else 7)


@pytest.mark.parametrize("max_shard_bytes", [None, 60_000])
def test_the_umask_counts(max_shard_bytes: int | None, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_pretrained(checkpoint(), tmp_path / "net", max_shard_bytes)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "net").iterdir()} == {0o640}


@pytest.mark.parametrize("max_shard_bytes", [None, 100_000])
def test_an_index_that_names_the_single_file(max_shard_bytes: int | None, tmp_path: Path) -> None:
    """Return the file that MLX writes beside every network."""
    folder = tmp_path / "model"
    write_pretrained(checkpoint(), folder)
    weight_map = dict.fromkeys(checkpoint().tensors, "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    write_pretrained(checkpoint(), folder, max_shard_bytes)
    assert open_pretrained(folder).read().hashes() == checkpoint().hashes()
    assert (folder / "model.safetensors").exists() == (max_shard_bytes is None)
    assert (folder / "model.safetensors.index.json").exists() != (max_shard_bytes is None)


def test_the_card(tmp_path: Path) -> None:
    write_pretrained(checkpoint(), tmp_path / "net")
    card = (tmp_path / "net" / "README.md").read_text()
    _, front, text = card.split("---\n", 2)
    fields = dict(line.split(": ") for line in front.splitlines() if ": " in line)
    assert fields == {"library_name": "danet", "pipeline_tag": "image-segmentation"}
    assert "\n# net\n" in text
    assert "| `multi_grid` | `[1, 2]` |" in text
    assert '["sky", "road \\u007c \\u0060path\\u0060", "other"]' in text  # names cannot break out of the table
    assert "\n---\n" not in text
    (tmp_path / "net" / "README.md").write_text("written by a person")
    write_pretrained(checkpoint(), tmp_path / "net")
    assert (tmp_path / "net" / "README.md").read_text() == "written by a person"


def test_weights_that_lost_their_manifest(tmp_path: Path) -> None:
    """Saved again by another library: config.json says what the network is."""
    from safetensors.numpy import save_file

    write_pretrained(checkpoint(), tmp_path)
    save_file(dict(checkpoint().tensors), tmp_path / "model.safetensors")
    for actual in (open_pretrained(tmp_path), weights_convert.read(tmp_path)):
        assert actual.config == NAMED
        assert actual.hashes() == checkpoint().hashes()


def test_contradictions_and_damage(tmp_path: Path) -> None:
    def refused(message: str, **fields: Any) -> None:
        shutil.rmtree(tmp_path / "net", ignore_errors=True)
        write_pretrained(checkpoint(), tmp_path / "net")
        change_config(tmp_path / "net", **fields)
        for read in (open_pretrained, weights_convert.read):
            with pytest.raises(CheckpointError, match=message):
                read(tmp_path / "net")

    refused("differ in multi_grid, num_classes", multi_grid=[1, 4], num_classes=2, class_names=None)
    refused("of model_type 'segformer'", model_type="segformer")
    refused("format_version is 2", format_version=2)
    refused("unknown config fields: color", color=1)
    refused("no config of a DANet", format_version=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"a folder without model\.safetensors"):
        open_pretrained(tmp_path / "empty")


def test_a_failure_leaves_no_folder_and_an_old_one_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pretrained(checkpoint(), tmp_path / "old")
    before = {name: (tmp_path / "old" / name).read_bytes() for name in listing(tmp_path / "old")}

    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for folder in ("old", "new"):
        with pytest.raises(OSError, match="No space left"):
            write_pretrained(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), tmp_path / folder)
    assert listing(tmp_path) == ["old"]
    assert {name: (tmp_path / "old" / name).read_bytes() for name in listing(tmp_path / "old")} == before


class TestHub:
    """With a module in huggingface_hub's place."""

    def test_a_repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_pretrained(checkpoint(), tmp_path / "cache")
        asked: list[Any] = []

        def snapshot_download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
            asked.append((repository, revision, allow_patterns))
            return str(tmp_path / "cache")

        monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
        assert open_pretrained("someone/danet-r50", "v1").hashes() == checkpoint().hashes()
        patterns = ["config.json", "README.md", "model*.safetensors", "model.safetensors.index.json"]
        assert asked == [("someone/danet-r50", "v1", patterns)]

    def test_a_repository_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def snapshot_download(*arguments: object, **options: object) -> str:
            raise OSError("404 Client Error")

        monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
        with pytest.raises(CheckpointError, match=r"someone/missing: cannot be fetched from the hub: 404"):
            open_pretrained("someone/missing")

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(CheckpointError, match="to fetch it from the hub, pip install huggingface_hub"):
            open_pretrained("someone/danet-r50")

    @pytest.mark.parametrize("name", ["missing", "./missing/folder", "/missing/folder", "../up", "a/b/c"])
    def test_what_is_no_repository(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace())
        with pytest.raises(CheckpointError, match="no such folder, and no repository of the hub"):
            open_pretrained(name)

"""A write replaces or removes only files that this project wrote, whenever other files appear."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import weights_convert
from danet_common import (
    CheckpointError,
    open_pretrained,
    read_checkpoint,
    write_checkpoint,
    write_pretrained,
    write_shards,
)
from danet_common.checkpoint.ownership import require_own
from danet_common.checkpoint.safetensors_writer import write_safetensors
from danet_common.files import locks
from danet_common.files.atomic import Judge, atomic_directory, atomic_file, if_empty, never
from danet_common.files.locks import identity_of, locked_folder
from danet_common.files.temporary import part_path, remove_leftovers
from shared_tests.suites.conversion.writers import (
    CHOOSING,
    INDEX,
    SHARD_BYTES,
    SHARDS,
    WRITERS,
    checkpoint,
    listing,
    read_seed,
)
from weights_convert.containers.orbax_layout import require_only_orbax

pytestmark = pytest.mark.needs("tensorstore")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, links as what they lead to."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_parts_of_killed_writers_and_nothing_else_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "out.npz"
    part_path(target, 0).write_text("left")
    part_path(target, 3).mkdir()
    (part_path(target, 3) / "inner").write_text("left")
    kept = [".notes.part", ".out.npz.notes.part", ".out.npz.abcdefgh.part", part_path(tmp_path / "other.npz", 0).name]
    for name in kept:
        (tmp_path / name).write_text("mine")
    part_path(target, 5).symlink_to(tmp_path / ".notes.part")
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        remove_leftovers(target)
        assert temporary.exists()  # its writer lives
        with atomic_file(target) as second:
            second.write_text("newer")
        assert temporary.exists()
    part_path(target, 5).unlink()
    assert listing(tmp_path) == sorted([*kept, "out.npz"])
    assert target.read_text() == "new"


def test_a_folder_whose_lock_is_removed_while_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last holder removes the file of the lock, at any moment."""

    def removed_before(path: Path) -> tuple[int, int]:
        monkeypatch.undo()
        path.unlink()
        return identity_of(path)

    monkeypatch.setattr(locks, "identity_of", removed_before)
    with locked_folder(tmp_path):
        assert len(listing(tmp_path)) == 1
    assert not listing(tmp_path)


@pytest.mark.parametrize("without", [(), ("rename",), ("rename", "link")])
def test_what_appears_meanwhile_survives(
    without: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the system has no exclusive rename, and where it has no links."""

    def no_links(*arguments: object, **options: object) -> None:
        raise OSError(1, "Operation not permitted")

    if "rename" in without:
        monkeypatch.setattr("danet_common.files.placing._rename", lambda *arguments: False)
    if "link" in without:
        monkeypatch.setattr(os, "link", no_links)
    file, folder = tmp_path / "file", tmp_path / "folder"

    def meet(judge: Judge, of_file: bool) -> None:
        with atomic_file(file, judge) if of_file else atomic_directory(folder, judge) as temporary:
            for path in (temporary, file if of_file else folder):
                place = path if of_file else path / "mine"
                place.parent.mkdir(exist_ok=True)
                place.write_text("mine" if path is not temporary else "new")

    with pytest.raises(FileExistsError) as caught:
        meet(never, of_file=True)
    assert caught.value.filename == str(file)
    for judge in (never, if_empty):
        shutil.rmtree(folder, ignore_errors=True)
        with pytest.raises(FileExistsError) as caught:
            meet(judge, of_file=False)
        assert caught.value.filename == str(folder)
    assert listing(tmp_path) == ["file", "folder", "folder/mine"]
    assert file.read_text() == "mine"
    for number, judge in enumerate((never, if_empty)):
        with atomic_file(tmp_path / f"new{number}", judge) as temporary:
            temporary.write_text("new")
        with atomic_directory(tmp_path / f"newer{number}", judge) as temporary:
            temporary.mkdir()
    assert len(listing(tmp_path)) == 7


def test_what_appears_in_a_folder_while_it_is_replaced_survives(tmp_path: Path) -> None:
    """The old folder is looked at once more after the exchange, and put back."""
    weights_convert.write(checkpoint(1), tmp_path / "out.orbax")
    asked: list[Path] = []

    def judge(path: Path) -> None:
        asked.append(path)
        require_only_orbax(path)
        if len(asked) == 2:
            (path / "mine").write_text("mine")

    with (
        pytest.raises(CheckpointError, match="the folder contains mine"),
        atomic_directory(tmp_path / "out.orbax", judge) as new,
    ):
        new.mkdir()
    assert (tmp_path / "out.orbax" / "mine").read_text() == "mine"
    (tmp_path / "out.orbax" / "mine").unlink()
    assert read_seed(tmp_path / "out.orbax") == 1
    assert listing(tmp_path) == ["out.orbax"]


@pytest.mark.parametrize("name", CHOOSING)
def test_without_force_every_writer_leaves_what_appears(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, writer = tmp_path / CHOOSING[name].name, CHOOSING[name]
    made: list[int] = []

    chmod = Path.chmod

    def appear(self: Path, mode: int) -> None:
        chmod(self, mode)
        if not made:
            made.append(1)
            mine = path / "mine" if path.suffix == ".orbax" else path
            mine.parent.mkdir(exist_ok=True)
            mine.write_text("mine")

    monkeypatch.setattr(Path, "chmod", appear)
    with pytest.raises((CheckpointError, FileExistsError), match="exists already"):
        writer.write(2, path, False)
    monkeypatch.undo()
    assert made
    assert "mine" in contents(tmp_path).popitem()[1].decode()
    assert len(contents(tmp_path)) == 1


OTHERS: dict[str, Callable[[Path], object]] = {
    "thesis.doc": lambda folder: (folder / "thesis.doc").write_text("mine"),
    "state/notes": lambda folder: (folder / "state" / "notes").write_text("mine"),
    "state/d/notes": lambda folder: (folder / "state" / "d" / "notes").write_text("mine"),
    "manifest/x.safetensors": lambda folder: (folder / "manifest" / "x.safetensors").write_text("mine"),
    "src": lambda folder: (folder / "src").mkdir(),
    "link": lambda folder: (folder / "link").symlink_to(folder.parent),
    "pipe": lambda folder: os.mkfifo(folder / "pipe"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_orbax_folder_with_anything_else_is_not_replaced(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "keep.orbax"
    weights_convert.write(checkpoint(1), folder)
    OTHERS[name](folder)
    (tmp_path / "link.orbax").symlink_to(folder)
    before = listing(folder)
    for path in (folder, tmp_path / "link.orbax"):
        with pytest.raises(CheckpointError, match="not replaced: the folder contains .*" + name.rpartition("/")[2]):
            weights_convert.write(checkpoint(2), path)
    assert listing(folder) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["keep.orbax", "link.orbax"]


@pytest.mark.parametrize("name", ["empty.orbax", "photos.orbax"])
def test_a_folder_that_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    """An empty one has nothing to lose."""
    folder = tmp_path / name
    folder.mkdir()
    if name == "empty.orbax":
        weights_convert.write(checkpoint(1), folder)
        assert read_seed(folder) == 1
    else:
        (folder / "a.jpg").write_text("mine")
        with pytest.raises(CheckpointError, match=r"the folder contains a\.jpg"):
            weights_convert.write(checkpoint(1), folder)


ORBAX_FILES = {
    "with OCDBT": "_METADATA _CHECKPOINT_METADATA _sharding commit_success.txt manifest.ocdbt "
    "d/45cd53b185f39c4e33db850219ed5ae6 ocdbt.process_0/manifest.ocdbt array_metadatas/process_0 "
    "ocdbt.process_0/d/a0897874a1720d0ab072959dab075687",
    "without": "_METADATA _strings.json a.b/.zarray a.b/0.0 c/.zarray c/0",
    "as zarr3": "_METADATA a.b/zarr.json a.b/c/0/0 c/zarr.json c/c",
    "a manager's step": "_CHECKPOINT_METADATA default/_METADATA default/manifest.ocdbt metrics/metrics",
    "items": "_CHECKPOINT_METADATA state/_METADATA meta/metadata arr/_METADATA arr/checkpoint/.zarray arr/checkpoint/0",
}


@pytest.mark.parametrize("name", ORBAX_FILES)
def test_what_orbax_writes_is_replaced(name: str, tmp_path: Path) -> None:
    """The files that Orbax 0.12 leaves, with nothing in them."""
    for file in ORBAX_FILES[name].split():
        (tmp_path / "out.orbax" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out.orbax" / file).touch()
    weights_convert.write(checkpoint(1), tmp_path / "out.orbax")
    assert read_seed(tmp_path / "out.orbax") == 1
    assert listing(tmp_path) == ["out.orbax"]


class TestSets:
    """Files that an old index names."""

    def test_a_file_that_is_none_of_ours_stays(self, tmp_path: Path) -> None:
        """Whatever an index says: by its name it is no part of the set, or by its content."""
        names = ["unrelated_best_model.safetensors", "model-00001-of-00002.safetensors", "best.safetensors"]
        for name in names:
            write_checkpoint(checkpoint(7), tmp_path / name)
        weight_map = dict(zip(("a", "b", "c"), names, strict=True))
        (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        before = {name: (tmp_path / name).read_bytes() for name in names}
        write_shards(checkpoint(1), tmp_path / INDEX, SHARD_BYTES)
        write_shards(checkpoint(2), tmp_path / INDEX, SHARD_BYTES)
        assert {name: (tmp_path / name).read_bytes() for name in names} == before
        assert len(listing(tmp_path)) == len(names) + 1 + SHARDS

    def test_what_another_index_names_stays(self, tmp_path: Path) -> None:
        write_shards(checkpoint(1), tmp_path / INDEX, SHARD_BYTES)
        for copy in ("backup.safetensors.index.json", "old-index"):
            shutil.copy(tmp_path / INDEX, tmp_path / copy)
        write_shards(checkpoint(2), tmp_path / INDEX, SHARD_BYTES)
        assert read_checkpoint(tmp_path / INDEX).source == {"seed": 2}
        assert read_checkpoint(tmp_path / "backup.safetensors.index.json").source == {"seed": 1}
        (tmp_path / "backup.safetensors.index.json").unlink()
        write_shards(checkpoint(3), tmp_path / INDEX, SHARD_BYTES)
        assert len(listing(tmp_path)) == 1 + 1 + SHARDS + SHARDS  # the renamed index still names its five
        (tmp_path / "old-index").unlink()
        write_shards(checkpoint(3), tmp_path / INDEX, SHARD_BYTES)
        assert len(listing(tmp_path)) == 1 + SHARDS

    def test_a_link_to_an_index_is_replaced_itself(self, tmp_path: Path) -> None:
        (tmp_path / "blobs").mkdir()
        (tmp_path / "blobs" / "1234").write_text("shared")
        (tmp_path / INDEX).symlink_to("blobs/1234")
        write_shards(checkpoint(1), tmp_path / INDEX, SHARD_BYTES)
        assert (tmp_path / "blobs" / "1234").read_text() == "shared"
        assert read_seed(tmp_path / INDEX) == 1

    def test_a_name_with_other_letters(self, tmp_path: Path) -> None:
        for name in ("mein Größtes.safetensors.index.json", "-x.safetensors.index.json"):
            write_shards(checkpoint(1), tmp_path / name, SHARD_BYTES)
            write_shards(checkpoint(2), tmp_path / name, SHARD_BYTES)
            assert read_seed(tmp_path / name) == 2
        assert len(listing(tmp_path)) == 2 * (1 + SHARDS)


class TestHubFolders:
    """Folders in which something lies under the names of ours."""

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", INDEX])
    @pytest.mark.parametrize("max_shard_bytes", [None, SHARD_BYTES])
    def test_another_projects_files(self, name: str, max_shard_bytes: int | None, tmp_path: Path) -> None:
        if name == "model.safetensors":
            write_safetensors(dict(checkpoint(7).tensors), tmp_path / name, {"format": "pt"})
        else:
            (tmp_path / name).write_text('{"model_type": "bert", "weight_map": {"a": "b.safetensors"}}')
        before = contents(tmp_path)
        with pytest.raises(CheckpointError, match=f"{name}: danet did not write it"):
            write_pretrained(checkpoint(1), tmp_path, max_shard_bytes)
        assert contents(tmp_path) == before

    def test_a_cache_of_links(self, tmp_path: Path) -> None:
        """The hub's: its files are links to others that are named by their content."""
        write_pretrained(checkpoint(1), tmp_path / "blobs")
        before = contents(tmp_path / "blobs")
        (tmp_path / "snapshot").mkdir()
        for name in before:
            (tmp_path / "snapshot" / name).symlink_to(f"../blobs/{name}")
        write_pretrained(checkpoint(2), tmp_path / "snapshot")
        assert contents(tmp_path / "blobs") == before
        assert open_pretrained(tmp_path / "snapshot").source == {"seed": 2}

    def test_what_another_index_names_is_not_removed(self, tmp_path: Path) -> None:
        write_pretrained(checkpoint(1), tmp_path)
        (tmp_path / "mine.index.json").write_text('{"weight_map": {"a": "model.safetensors"}}')
        with pytest.raises(CheckpointError, match=r"mine\.index\.json names it"):
            write_pretrained(checkpoint(2), tmp_path, SHARD_BYTES)
        assert open_pretrained(tmp_path).source == {"seed": 1}

    def test_a_file_in_the_folders_place(self, tmp_path: Path) -> None:
        (tmp_path / "net").write_text("mine")
        with pytest.raises(NotADirectoryError):
            write_pretrained(checkpoint(1), tmp_path / "net")
        assert listing(tmp_path) == ["net"]


class TestSourceAndDestination:
    """Conversions that would take their own source with them."""

    def refused(self, source: Path, destination: Path | str, message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            weights_convert.convert(source, destination, force=True)

    def test_the_same_file(self, tmp_path: Path) -> None:
        source = tmp_path / "x.npz"
        weights_convert.write(checkpoint(1), source)
        (tmp_path / "link.npz").symlink_to(source)
        (tmp_path / "same.npz").hardlink_to(source)
        before = contents(tmp_path)
        for destination in ("x.npz", "link.npz", "same.npz", "../" + tmp_path.name + "/x.npz"):
            self.refused(source, tmp_path / destination, "is the source itself")
            self.refused(tmp_path / "link.npz", tmp_path / destination, "is the source itself")
        assert contents(tmp_path) == before

    def test_folders(self, tmp_path: Path) -> None:
        orbax, hub = tmp_path / "x.orbax", tmp_path / "hub"
        weights_convert.write(checkpoint(1), orbax)
        write_pretrained(checkpoint(1), hub)
        (tmp_path / "link.orbax").symlink_to(orbax)
        before = contents(tmp_path)
        self.refused(orbax, orbax, "is the source itself")
        self.refused(orbax, tmp_path / "link.orbax", "is the source itself")
        self.refused(orbax / "state", orbax, "contains the source")
        self.refused(hub, hub / "model.safetensors", "is part of the source")
        assert contents(tmp_path) == before
        weights_convert.convert(hub, hub / "other.safetensors")
        assert read_seed(hub / "other.safetensors") == 1

    def test_sets(self, tmp_path: Path) -> None:
        index = tmp_path / INDEX
        write_shards(checkpoint(1), index)
        (shard,) = tmp_path.glob("model-*.safetensors")
        (tmp_path / "link.safetensors").symlink_to(shard)
        for source in (shard, tmp_path / "link.safetensors"):
            self.refused(source, index, "is a file of this set")
        self.refused(index, shard, "is part of the source")
        self.refused(index, tmp_path / "link.safetensors", "is part of the source")
        assert read_seed(index) == 1

    def test_the_single_file_that_an_index_beside_it_names(self, tmp_path: Path) -> None:
        """A set of MLX. The source stays, since no set of danet has files of that name."""
        source = tmp_path / "model.safetensors"
        write_checkpoint(checkpoint(1), source)
        weight_map = dict.fromkeys(checkpoint(1).tensors, source.name)
        (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        before = source.read_bytes()
        weights_convert.convert(source, tmp_path / INDEX, force=True)
        assert source.read_bytes() == before
        assert read_seed(tmp_path / INDEX) == 1

    def test_names_of_folders(self, tmp_path: Path) -> None:
        source = tmp_path / "x.npz"
        weights_convert.write(checkpoint(1), source)
        self.refused(source, f"{tmp_path}/y.npz/", "names a folder")
        self.refused(source, tmp_path, "is a folder. Name a file in it")
        weights_convert.convert(source, f"{tmp_path}/y.orbax/")
        assert read_seed(tmp_path / "y.orbax") == 1


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_destination_and_leaves_what_was_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, path = WRITERS[name], tmp_path / WRITERS[name].name
    writer.write(2, path, True)
    before = contents(tmp_path)
    opened = Path.open

    def full(self: Path, *arguments: object, **options: object) -> object:
        if {*arguments, *options.values()} & {"wb", "w", "rb+"}:
            raise OSError(28, "No space left on device")
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises((OSError, CheckpointError), match="No space left on device") as caught:
        writer.write(4, path, True)
    monkeypatch.undo()
    assert str(tmp_path / writer.name) in str(caught.value)
    assert ".part" not in str(caught.value)
    assert contents(tmp_path) == before


def test_a_file_that_changes_while_it_is_judged_is_judged_again(tmp_path: Path) -> None:
    path, judged = tmp_path / "model.safetensors", []
    path.write_bytes(b"the first")

    def replaced(path: Path) -> bool:
        judged.append(path.read_bytes())
        (tmp_path / "new").write_bytes(b"the second")
        (tmp_path / "new").replace(path)
        return len(judged) == 2

    def removed(path: Path) -> bool:
        path.unlink()
        return False

    require_own(path, replaced)
    assert judged == [b"the first", b"the second"]
    require_own(path, removed)
    path.write_bytes(b"a person's")
    with pytest.raises(CheckpointError, match="danet did not write it"):
        require_own(path, lambda path: False)

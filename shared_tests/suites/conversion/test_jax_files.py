"""Files of JAX trainers: steps and items of Orbax, flat arrays, and pickled trees."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, parameters
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.containers.orbax_tree import write_tree
from weights_convert.containers.source_file import open_source
from weights_convert.formats import orbax_directory, safetensors_file
from weights_convert.formats.flax_tree import to_leaves

pytest.importorskip("tensorstore")

CONFIG = VARIANTS["danet_tiny"]
TENSORS = synthetic_tensors(CONFIG)
LEAVES = to_leaves(CONFIG, TENSORS)
LEARNED = {path for path, name in zip(LEAVES, parameters(CONFIG), strict=True) if parameters(CONFIG)[name].trainable}
WRAPPED = {("net", *path): array for path, array in LEAVES.items()}
MOMENTS = {("opt_state", "0", "mu", *path): LEAVES[path] for path in LEARNED}
OLDER = Path(__file__).parent / "orbax_0_11_20"

Tree = Mapping[tuple[str, ...], np.ndarray]


def assert_equal(path: Path) -> list[str]:
    """The file has the synthetic weights, bit for bit; return the lines about it."""
    lines: list[str] = []
    checkpoint = weights_convert.read(path, report=lines.append)
    assert checkpoint.hashes() == Checkpoint(CONFIG, TENSORS).hashes()
    return lines


def write_step(folder: Path, scale: float = 1.0) -> None:
    """Write the items of a Composite."""
    write_tree(folder / "params", {path: LEAVES[path] * np.float32(scale) for path in LEARNED})
    write_tree(folder / "batch_stats", {path: LEAVES[path] for path in LEAVES if path not in LEARNED})
    (folder / "_CHECKPOINT_METADATA").write_text("{}")


def test_a_database_that_the_metadata_do_not_mention() -> None:
    """Orbax 0.11.20 wrote this folder; its `_METADATA` has no `use_ocdbt`."""
    assert "use_ocdbt" not in (OLDER / "_METADATA").read_text()
    tensors = orbax_directory.read(open_source(OLDER)).tensors
    kernel = np.arange(108, dtype=np.float32).reshape(3, 3, 3, 4).transpose(3, 2, 0, 1)
    assert np.array_equal(tensors["backbone.conv1.weight"], kernel)
    assert {name: array.tolist() for name, array in tensors.items() if array.ndim == 1} == {
        "backbone.bn1.weight": [1.0] * 4,
        "head.gamma": [1.0],
    }


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    shutil.copytree(OLDER, tmp_path / "copy")
    (tmp_path / "copy" / "manifest.ocdbt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"copy: Orbax checkpoint is incomplete or damaged: .*") as caught:
        weights_convert.read(tmp_path / "copy")
    assert "\n" not in str(caught.value)


def test_the_items_of_a_composite_are_one_tree(tmp_path: Path) -> None:
    write_step(tmp_path / "one")
    write_tree(tmp_path / "one" / "optimizer", MOMENTS)
    assert any("left out: 68 tensors of optimizer" in line for line in assert_equal(tmp_path / "one"))


def test_of_a_manager_the_newest_step_is_taken(tmp_path: Path) -> None:
    for step, scale in (("3", 0.5), ("10", 1.0), ("9", 2.0)):
        write_step(tmp_path / "run" / step, scale)
    assert assert_equal(tmp_path / "run")[0] == "took 10, the newest of 3 steps"
    assert_equal(tmp_path / "run" / "10")
    shutil.rmtree(tmp_path / "run" / "10" / "batch_stats")
    with pytest.raises(CheckpointError, match=r"missing: backbone\.bn1\.running_mean"):
        weights_convert.read(tmp_path / "run")


def test_a_single_item_needs_no_name(tmp_path: Path) -> None:
    write_tree(tmp_path / "checkpoint_7" / "anything", {("step",): np.array(7), **LEAVES, **MOMENTS})
    lines = assert_equal(tmp_path / "checkpoint_7")
    assert "left out: 68 tensors of opt_state" in lines
    assert "left out: step" in lines
    assert_equal(tmp_path)


def joined(separator: str, tree: Tree = LEAVES) -> dict[str, np.ndarray]:
    return {separator.join(path): np.array(array, order="C") for path, array in tree.items()}


def nested(tree: Tree) -> dict[str, object]:
    """Return nested dictionaries, with integers as the keys of lists."""
    root: dict[str, object] = {}
    for path, array in tree.items():
        branch: dict[object, object] = root  # type: ignore[assignment]
        for part in path[:-1]:
            branch = branch.setdefault(int(part) if part.isdecimal() else part, {})  # type: ignore[assignment]
        branch[path[-1]] = np.array(array, order="C")
    return root


WRITERS: dict[str, Callable[[Path], object]] = {
    "slashes.npz": lambda path: np.savez(path, **joined("/")),  # type: ignore[arg-type]
    "dots.npz": lambda path: np.savez(path, **joined(".")),  # type: ignore[arg-type]
    "slashes.safetensors": lambda path: safetensors_file.write_foreign(joined("/"), path),
    "dots.safetensors": lambda path: safetensors_file.write_foreign(joined("."), path),
    "wrapped.safetensors": lambda path: safetensors_file.write_foreign(
        joined(".", {("net", *p): LEAVES[p] for p in LEAVES}), path
    ),
    "tree.pkl": lambda path: path.write_bytes(pickle.dumps(nested(LEAVES), 4)),
    "state.pkl": lambda path: path.write_bytes(pickle.dumps({"params": nested(LEAVES), "step": 3, "tx": print}, 4)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_flat_and_pickled_trees(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    assert_equal(tmp_path / name)


@pytest.mark.slow
def test_pickled_arrays_of_jax(tmp_path: Path) -> None:
    jax = pytest.importorskip("jax")
    tree = jax.tree.map(jax.numpy.asarray, nested(LEAVES))
    (tmp_path / "tree.pkl").write_bytes(pickle.dumps(tree))
    assert_equal(tmp_path / "tree.pkl")

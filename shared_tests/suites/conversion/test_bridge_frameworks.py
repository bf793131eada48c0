"""The written Keras and Flax files in the frameworks themselves, and those that the frameworks write, read here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig
from shared_tests.fixtures.synthetic import synthetic_tensors

TINY = VARIANTS["danet_tiny"].replace(multi_grid=(1, 2), num_classes=3)
NETWORKS: dict[str, DANetConfig] = {
    "tiny": TINY,
    "deep": TINY.replace(block="bottleneck", layers=(1, 2, 1, 2), stem="deep", stem_widths=(4, 4, 8), auxiliary="fcn"),
    "weighed": TINY.replace(context=("bam", "selective_kernel"), reduction=4),
    "gathered": TINY.replace(context=("non_local", "joint_position")),
    "mixed": TINY.replace(context=("cbam", "self_attention")),
    "dranet": TINY.replace(
        context=("compact_position", "compact_channel"), decoder="gating", branch_classifiers=False, auxiliary="fcn"
    ),
    "plain": TINY.replace(context=(), auxiliary="linear"),
}

KERAS = """
import pathlib, sys
import keras, danet_tf
for name in sys.argv[2:]:
    folder = pathlib.Path(sys.argv[1], name)
    model = keras.saving.load_model(folder / "ours.keras")
    other = danet_tf.DANet(model.config)
    other.load_weights(folder / "ours.weights.h5")
    other.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    other.optimizer.build(other.trainable_variables)
    danet_tf.save(model, folder / "from_archive.safetensors")
    danet_tf.save(other, folder / "from_weights.safetensors")
    other.save(folder / "theirs.keras")
    model.save_weights(folder / "theirs.weights.h5")
    pixels = keras.Input((33, 49, model.config.in_channels))
    functional = keras.Model(pixels, model(pixels)["fused"])
    functional.save(folder / "functional.keras")
    sequential = keras.Sequential([keras.layers.Rescaling(1 / 255), functional])
    sequential.build((None, 33, 49, model.config.in_channels))
    sequential.save(folder / "sequential.keras")
    sequential.save_weights(folder / "sequential.weights.h5")
    model.save(folder / "whole.h5")
"""

FLAX = """
import pathlib, sys
import orbax.checkpoint as ocp
from flax import nnx, serialization
import danet_jax
for name in sys.argv[2:]:
    folder = pathlib.Path(sys.argv[1], name)
    model = danet_jax.load(folder / "ours.safetensors")
    state = nnx.state(model, (nnx.Param, nnx.BatchStat))
    tree = nnx.to_pure_dict(state)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "tree", tree)
        checkpointer.save(folder / "state", state)
    with ocp.CheckpointManager(folder / "manager") as manager:
        manager.save(5, args=ocp.args.StandardSave(tree))
    items = {kind: ocp.args.StandardSave(nnx.state(model, type_))
             for kind, type_ in (("params", nnx.Param), ("batch_stats", nnx.BatchStat))}
    with ocp.CheckpointManager(folder / "items") as manager:
        for step in (5, 12):
            manager.save(step, args=ocp.args.Composite(**items))
    (folder / "tree.msgpack").write_bytes(serialization.to_bytes(tree))
    serialization.MAX_CHUNK_SIZE = 1000
    apart = {kind: nnx.to_pure_dict(nnx.state(model, type_))
             for kind, type_ in (("params", nnx.Param), ("batch_stats", nnx.BatchStat))}
    (folder / "apart.msgpack").write_bytes(serialization.to_bytes(apart))
"""

WRAPPED = ("functional.keras", "sequential.keras")
# One process builds all networks of an entry.
QUICK = ("deep", "dranet")
EVERY = pytest.mark.parametrize(
    "names",
    [
        pytest.param(QUICK, id="quick"),
        pytest.param(tuple(name for name in NETWORKS if name not in QUICK), id="others", marks=pytest.mark.slow),
    ],
)


def run(program: str, folder: Path, names: tuple[str, ...]) -> None:
    """Run a program on a folder for each network, in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", program, str(folder), *names], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture
def folder(names: tuple[str, ...], tmp_path: Path) -> Path:
    """A folder for each network, with its checkpoint in several formats."""
    for name in names:
        config = NETWORKS[name]
        (tmp_path / name).mkdir()
        for ending in (".safetensors", ".keras", ".weights.h5"):
            weights_convert.write(Checkpoint(config, synthetic_tensors(config)), tmp_path / name / f"ours{ending}")
    return tmp_path


def check(path: Path, config: DANetConfig, states_config: bool) -> None:
    """The same tensors; the same config, or where the file does not state it, as far as tensors tell."""
    result = weights_convert.read(path)
    assert result.hashes() == Checkpoint(config, synthetic_tensors(config)).hashes(), path
    if not states_config:
        result = weights_convert.read(path, settings={"multi_grid": "1,2"})
        sizes = {"query_channels": config.query_channels, "auxiliary_channels": config.auxiliary_channels}
        result.config = result.config.replace(**sizes)
    assert result.config == config, path


@pytest.mark.timeout(120)
@EVERY
def test_keras(names: tuple[str, ...], folder: Path) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    run(KERAS, folder, names)
    for name in names:
        config = NETWORKS[name]
        for file in ("from_archive.safetensors", "from_weights.safetensors", "theirs.keras", *WRAPPED):
            check(folder / name / file, config, states_config=True)
        for file in ("theirs.weights.h5", "sequential.weights.h5"):
            check(folder / name / file, config, states_config=False)
        with pytest.raises(CheckpointError, match=r"a whole model of Keras 3 in HDF5, .* save a \.keras file"):
            weights_convert.read(folder / name / "whole.h5")


@pytest.mark.timeout(120)
@EVERY
def test_flax(names: tuple[str, ...], folder: Path) -> None:
    pytest.importorskip("flax")
    pytest.importorskip("orbax.checkpoint")
    run(FLAX, folder, names)
    for name in names:
        for file in ("tree", "state", "manager", "items", "items/12", "tree.msgpack", "apart.msgpack"):
            check(folder / name / file, NETWORKS[name], states_config=False)

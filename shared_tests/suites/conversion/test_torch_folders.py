"""Files of PyTorch's trainers beside plain state dicts: folders, sharded tensors and exported programs."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.containers.source_file import open_source
from weights_convert.formats import torch_program

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")  # of PyTorch 2.9 itself

CONFIG = VARIANTS["danet_tiny"]
TENSORS = synthetic_tensors(CONFIG)
STATE = {name: torch.from_numpy(array) for name, array in TENSORS.items()}
KERNEL = "backbone.conv1.weight"


def assert_equal(path: Path) -> list[str]:
    """The file has the synthetic weights, bit for bit; return the lines about it."""
    lines: list[str] = []
    checkpoint = weights_convert.read(path, report=lines.append)
    assert checkpoint.hashes() == Checkpoint(CONFIG, TENSORS).hashes()
    return lines


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        weights_convert.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of torch.distributed.checkpoint, without processes, with a value that is not a tensor."""
    import torch.distributed.checkpoint as dcp

    with pytest.warns(UserWarning, match="torch.distributed is disabled, unavailable or uninitialized"):
        dcp.save({"model": STATE, "step": 3}, checkpoint_id=tmp_path / "dcp")
    return tmp_path / "dcp"


def test_distributed_checkpoints(folder: Path) -> None:
    assert "weights: taken from model" in assert_equal(folder)


def test_a_tensor_of_several_processes_is_joined(folder: Path) -> None:
    """Two chunks in two files, as two processes write them."""
    from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

    metadata = pickle.loads((folder / ".metadata").read_bytes())
    key = f"model.{KERNEL}"
    (whole,) = (index for index in metadata.storage_data if index.fqn == key)
    info, described = metadata.storage_data.pop(whole), metadata.state_dict_metadata[key]
    described.chunks.clear()
    half = len(STATE[KERNEL]) // 2
    for start, end in ((0, half), (half, 2 * half)):
        offset = torch.Size([start, 0, 0, 0])
        name = f"__{start}_0.distcp"
        torch.save(STATE[KERNEL][start:end].clone(), folder / f"{start}")
        data = (folder / f"{start}").read_bytes()
        (folder / f"{start}").unlink()
        file = folder / ("__0_1.distcp" if start == 0 else name)
        file.write_bytes(b"before" + data)
        described.chunks.append(ChunkStorageMetadata(offset, torch.Size([end - start, *STATE[KERNEL].shape[1:]])))
        part = type(info)(file.name, len(b"before"), len(data))
        metadata.storage_data[MetadataIndex(key, offset, 0)] = part
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    assert_equal(folder)
    described.chunks.pop()
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    assert f".metadata is damaged: the chunks of {key} have " in refused(folder)
    described.chunks.append(described.chunks[0])
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    assert refused(folder) == f".metadata is damaged: the chunks of {key} overlap"


def test_damaged_distributed_checkpoints(folder: Path) -> None:
    data = (folder / "__0_0.distcp").read_bytes()
    (folder / "__0_0.distcp").write_bytes(data[:100_000])
    assert refused(folder).startswith("__0_0.distcp, which has model.")
    (folder / "__0_0.distcp").write_bytes(bytes(len(data)))
    assert "cut short or damaged" in refused(folder)
    (folder / "__0_0.distcp").unlink()
    assert "__0_0.distcp" in refused(folder)
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    for info in metadata.storage_data.values():
        info.relative_path = "../secret"
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    assert "lies outside of the folder" in refused(folder)
    (folder / ".metadata").write_bytes(pickle.dumps({"storage_data": 3}))
    assert refused(folder).startswith(".metadata is damaged")
    (folder / ".metadata").write_bytes(b"\x80\x04cut")
    assert "the pickle is damaged" in refused(folder)


@pytest.fixture
def mesh() -> Iterator[Any]:
    from torch.distributed.device_mesh import init_device_mesh

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_sharded_tensors(mesh: Any, tmp_path: Path) -> None:
    """DTensors of one process are complete; of several processes, each file has a part."""
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    path = tmp_path / "model.pth"
    torch.save({name: distribute_tensor(tensor, mesh, [Replicate()]) for name, tensor in STATE.items()}, path)
    assert_equal(path)
    kernel = STATE[KERNEL]
    part = DTensor.from_local(kernel[:3], mesh, [Shard(0)], shape=kernel.shape, stride=kernel.stride())
    torch.save({**STATE, KERNEL: part}, path)
    with pytest.raises(CheckpointError, match="of which this file has a process's part"):
        weights_convert.read(path)


def test_the_weights_of_a_program_are_read(tmp_path: Path) -> None:
    class Small(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 4, 3)
            self.bn1 = torch.nn.BatchNorm2d(4)

        def forward(self, x: Any) -> Any:
            return self.bn1(self.conv1(x))

    small = Small().eval()
    path = tmp_path / "program.pt2"
    torch.export.save(torch.export.export(small, (torch.zeros(1, 3, 5, 5),)), path)
    tensors = torch_program.read(open_source(path)).tensors
    for name, tensor in small.state_dict().items():
        if name in tensors:  # a program for inference drops the counter
            assert np.array_equal(tensors[name], tensor.numpy())
    assert set(tensors) >= {"conv1.weight", "conv1.bias", "bn1.running_mean"}


@pytest.mark.slow
def test_a_program_is_a_checkpoint(tmp_path: Path) -> None:
    danet_torch = pytest.importorskip("danet_torch")
    model = weights_convert.to_torch(Checkpoint(CONFIG, TENSORS))
    assert isinstance(model, danet_torch.DANet)
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 65, 97),)), tmp_path / "program.pt2")
    assert_equal(tmp_path / "program.pt2")


def write(content: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_the_folder_of_the_hubs_trainer(tmp_path: Path) -> None:
    write(STATE, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"num_labels": 19}')
    write({"state": {}}, tmp_path / "optimizer.pt")
    assert_equal(tmp_path)


def test_an_index_of_torch_files(tmp_path: Path) -> None:
    names = [*STATE]
    parts = {"pytorch_model-00001-of-00002.bin": names[:30], "pytorch_model-00002-of-00002.bin": names[30:]}
    for file, keys in parts.items():
        write({key: STATE[key] for key in keys}, tmp_path / file)
    index = {"metadata": {}, "weight_map": {key: file for file, keys in parts.items() for key in keys}}
    place = tmp_path / "pytorch_model.bin.index.json"
    place.write_text(json.dumps(index))
    for path in (tmp_path, place):
        assert_equal(path)
    index["weight_map"]["head.absent"] = "pytorch_model-00002-of-00002.bin"
    place.write_text(json.dumps(index))
    assert "has no tensor head.absent" in refused(tmp_path)
    index["weight_map"]["head.absent"] = "../secret.bin"
    place.write_text(json.dumps(index))
    assert "names a file outside of its folder" in refused(tmp_path)
    place.write_text("{}")
    assert "is damaged" in refused(tmp_path)


def test_the_folder_of_deepspeed(tmp_path: Path) -> None:
    step = tmp_path / "global_step9"
    write({"module": STATE, "ds_version": "0.18", "optimizer": None}, step / "mp_rank_00_model_states.pt")
    (tmp_path / "latest").write_text("global_step9\n")
    assert assert_equal(tmp_path)[0] == "took global_step9, the step that latest names"
    assert_equal(step)
    (tmp_path / "latest").write_text("global_step7")
    assert refused(tmp_path) == "its file latest names 'global_step7', which is not a folder in it"
    (step / "mp_rank_00_model_states.pt").rename(step / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    assert "zero_to_fp32.py . pytorch_model.bin` in the folder" in refused(step)


def test_scripts_are_named(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit")  # deprecated, and its files are about
        torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 4, 3)), tmp_path / "script.pt")
    assert "is a TorchScript program, not a state dict" in refused(tmp_path / "script.pt")

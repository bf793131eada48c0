"""torch files without torch: what torch writes is read, what is written torch reads, and no pickle runs code."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, initial_tensors
from weights_convert.containers import pickled_tensors
from weights_convert.containers.pickle_reader import Opaque, read_pickle
from weights_convert.containers.pickled_tensors import CONSTRUCTORS
from weights_convert.containers.source_file import open_source
from weights_convert.containers.zip_archive import write_archive
from weights_convert.formats import torch_file

torch = pytest.importorskip("torch")

CONFIG = VARIANTS["danet_tiny"]
CONTAINERS = {"zip": True, "legacy": False}


def save(value: Any, path: Path, container: str = "zip") -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=CONTAINERS[container])
    return path


def odd_tensors() -> dict[str, Any]:
    """Views, scalars, shared storages and every dtype that a checkpoint is known to have."""
    base = torch.arange(24, dtype=torch.float32)
    tensors = {
        "contiguous": base.reshape(2, 3, 4),
        "transposed": base.reshape(4, 6).t(),
        "strided": base[1::2],
        "offset": base[5:9],
        "shared": base,
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "channels_last": torch.arange(2.0 * 3 * 4 * 5)
        .reshape(2, 3, 4, 5)
        .contiguous(memory_format=torch.channels_last),
        "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
        "bool": torch.tensor([True, False]),
    }
    for dtype in (torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        tensors[str(dtype)] = torch.arange(5).to(dtype)
    return tensors


@pytest.mark.parametrize("container", CONTAINERS)
def test_odd_tensors_of_torch(container: str, tmp_path: Path) -> None:
    tensors = odd_tensors()
    read = torch_file.read(open_source(save(tensors, tmp_path / "odd.pth", container))).tensors
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        expected = tensor.numpy()
        assert read[name].shape == expected.shape, name
        assert read[name].dtype == expected.dtype, name
        assert np.array_equal(read[name], expected), name


@pytest.mark.parametrize("container", CONTAINERS)
def test_bfloat16_and_parameters(container: str, tmp_path: Path) -> None:
    tensor = torch.randn(7, 3).to(torch.bfloat16)
    path = save({"w": torch.nn.Parameter(tensor)}, tmp_path / "b.pth", container)
    read = torch_file.read(open_source(path)).tensors["w"]
    assert read.dtype.name == "bfloat16"
    assert read.tobytes() == tensor.view(torch.int16).numpy().tobytes()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("entry", [None, "state_dict", "model", "model_state_dict"])
def test_where_trainers_keep_the_state_dict(entry: str | None, container: str, tmp_path: Path) -> None:
    state_dict = collections.OrderedDict((name, torch.from_numpy(a)) for name, a in initial_tensors(CONFIG).items())
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    trainer = {"epoch": 3, "best_pred": np.float64(0.5), "optimizer": optimizer}
    content = state_dict if entry is None else {**trainer, entry: state_dict}
    read = weights_convert.read(save(content, tmp_path / "model.pth", container))
    assert read.hashes() == Checkpoint(CONFIG, initial_tensors(CONFIG)).hashes()
    assert read.config == CONFIG


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_protocol_that_torch_saves_with(container: str, protocol: int, tmp_path: Path) -> None:
    named = {name: torch.from_numpy(array) for name, array in initial_tensors(CONFIG).items()}
    zipped = CONTAINERS[container]
    torch.save(named, tmp_path / "model.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert weights_convert.read(tmp_path / "model.pth").config == CONFIG


@pytest.mark.parametrize("model", [{"depth": 50}, torch.nn.Linear(2, 3)], ids=["settings", "object"])
def test_a_model_beside_its_state_dict_is_not_taken_for_it(model: Any, tmp_path: Path) -> None:
    named = {name: torch.from_numpy(array) for name, array in initial_tensors(CONFIG).items()}
    path = save({"model": model, "model_state_dict": named}, tmp_path / "model.pth")
    assert weights_convert.read(path).config == CONFIG


BESIDE = {
    "texts": np.array(["road", "sky"]),
    "text": np.str_("road"),
    "objects": np.array([None, {}], dtype=object),
    "complex number": np.complex128(1j),
    "date": np.datetime64("2020-01-01"),
    "records": np.zeros(3, [("a", "f4"), ("b", "i4")]),
    "complex tensor": torch.ones(3, dtype=torch.complex64),
}


@pytest.mark.parametrize("name", BESIDE)
def test_other_values_beside_the_tensors_are_inert(name: str, tmp_path: Path) -> None:
    named = {key: torch.from_numpy(array) for key, array in initial_tensors(CONFIG).items()}
    for content in ({"state_dict": named, "x": BESIDE[name]}, {**named, "x": BESIDE[name]}):
        assert weights_convert.read(save(content, tmp_path / "model.pth")).config == CONFIG
    with pytest.raises(CheckpointError, match=r"1 entries of its state dict are not tensors: head\.x"):
        weights_convert.read(save({**named, "head.x": BESIDE[name]}, tmp_path / "model.pth"))


def test_data_parallel_prefix(tmp_path: Path) -> None:
    named = {f"module.{name}": torch.from_numpy(array) for name, array in initial_tensors(CONFIG).items()}
    lines: list[str] = []
    assert weights_convert.read(save(named, tmp_path / "model.pth"), report=lines.append).config == CONFIG
    assert "weights: taken from module" in lines


def test_compressed_and_big_endian_records(tmp_path: Path) -> None:
    named = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7)}
    path = save(named, tmp_path / "model.pth")
    other = tmp_path / "other.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name:
                data = np.frombuffer(data, "<f4" if len(data) == 24 else "<i8").byteswap().tobytes()
            new.writestr(name, data)
    read = torch_file.read(open_source(other)).tensors
    assert np.array_equal(read["w"], named["w"].numpy())
    assert read["n"] == 7


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_what_is_written(mmap: bool, tmp_path: Path) -> None:
    tensors = initial_tensors(CONFIG)
    weights_convert.write(Checkpoint(CONFIG, tensors, {"fc.bias": np.ones(3, np.float32)}), tmp_path / "model.pth")
    content = torch.load(tmp_path / "model.pth", weights_only=True, mmap=mmap)
    assert list(content) == ["danet", "state_dict", "passengers"]
    assert list(content["state_dict"]) == list(tensors)
    for name, tensor in content["state_dict"].items():
        assert np.array_equal(tensor.numpy(), tensors[name])
        assert tensor.numpy().dtype == tensors[name].dtype
        assert tensor.data_ptr() % 64 == 0 or not mmap


# Each pickle would call os.system, by another instruction or another way to a name.
COMMAND = b"X" + struct.pack("<I", 12) + b"touch hacked"
HOSTILE = {
    "reduce": b"\x80\x02cposix\nsystem\n(" + COMMAND + b"tR.",
    "stack global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93(" + COMMAND + b"tR.",
    "inst": b"(" + COMMAND + b"iposix\nsystem\n.",
    "obj": b"(cposix\nsystem\n" + COMMAND + b"o.",
    "newobj": b"\x80\x02csubprocess\nPopen\n(" + COMMAND + b"t\x81.",
    "newobj_ex": b"\x80\x04csubprocess\nPopen\n(" + COMMAND + b"t}\x92.",
    "build": b"\x80\x02cbuiltins\nobject\n)\x81}X\x0c\x00\x00\x00__setstate__cposix\nsystem\nsb" + COMMAND + b"b.",
    "nested name": b"\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93" + b"(" + COMMAND + b"tR.",
    "extension": b"\x80\x02\x82\x01(" + COMMAND + b"tR.",
    "extension 2": b"\x80\x02\x83\x01\x00(" + COMMAND + b"tR.",
    "extension 4": b"\x80\x02\x84\x01\x00\x00\x00(" + COMMAND + b"tR.",
    "through a constructor": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nsystem\nN(" + COMMAND + b"tNtR.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n(cos\npath\nX\x06\x00\x00\x00systemtR(" + COMMAND + b"tR.",
    "loads": b"\x80\x02c_pickle\nloads\n(" + b"C\x10" + b"cposix\nsystem\n.." + b"tR.",
    "append to a call": b"\x80\x02ccollections\ndeque\n)R" + COMMAND + b"a.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_pickle_runs_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import copyreg
    import os

    calls: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", calls.append)
    monkeypatch.setitem(copyreg._extension_cache, 1, calls.append)  # type: ignore[attr-defined]
    file = io.BytesIO(HOSTILE[name])
    value = read_pickle(file, CONSTRUCTORS)
    assert file.tell() == len(HOSTILE[name])
    assert isinstance(value, Opaque)
    write_archive(tmp_path / "evil.pth", [("archive/data.pkl", HOSTILE[name]), ("archive/version", b"3\n")])
    with pytest.raises(CheckpointError, match="which is never run"):
        weights_convert.read(tmp_path / "evil.pth")
    assert not calls
    assert [entry.name for entry in tmp_path.iterdir()] == ["evil.pth"]


def test_foreign_objects_beside_the_tensors_are_inert(tmp_path: Path) -> None:
    state_dict = {name: torch.from_numpy(array) for name, array in initial_tensors(CONFIG).items()}
    content = {"state_dict": state_dict, "hub": collections.Counter("abc"), "path": Path("x"), "set": {1, 2}}
    assert weights_convert.read(save(content, tmp_path / "model.pth")).config == CONFIG


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(protocol: int) -> None:
    value: dict[str, Any] = {
        "numbers": [0, -1, 255, 65535, 1 << 40, -(1 << 80), 0.5, True, False, None],
        "texts": ["", "aé", "x" * 300],
        "bytes": b"\x00\xff",
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "array": np.arange(6.0).reshape(2, 3),
        "scalar": np.float64(0.25),
        "ordered": collections.OrderedDict(a=1, b=[2]),
    }
    read = read_pickle(io.BytesIO(pickle.dumps(value, protocol)), CONSTRUCTORS)
    assert np.array_equal(read.pop("array").array, value.pop("array"))
    assert read == value


BOMBS = {
    "length of a text": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "length of bytes": b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "length of a bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "negative length": b"\x80\x02T\xff\xff\xff\xffabc.",
    "empty stack": b"\x80\x02R.",
    "unknown memo": b"\x80\x02h\x07.",
    "unknown instruction": b"\x80\x02\xfe.",
    "no end": b"\x80\x02}",
    "odd items": b"}(K\x01u.",
    "one long string, many times": b"\x80\x02X"
    + struct.pack("<I", 100_000)
    + b"x" * 100_000
    + b"q\x000"
    + b"c_codecs\nencode\n(h\x00tR0" * 100
    + b"N.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_damaged_pickles_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError):
        read_pickle(io.BytesIO(BOMBS[name]), CONSTRUCTORS)


def test_deep_nesting_is_no_danger() -> None:
    value = read_pickle(io.BytesIO(b"]" + b"\x85" * 100_000 + b"."), CONSTRUCTORS)
    assert type(value) is tuple
    keyed = read_pickle(io.BytesIO(b"}]" + b"\x85" * 100_000 + b"K\x01s."), CONSTRUCTORS)
    assert len(keyed) == 1


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
    b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
)


@pytest.mark.parametrize(
    ("length", "offset", "size", "stride"),
    [(4, 0, 5, 1), (4, 1, 4, 1), (4, 0, 2, 4), (1 << 30, 0, 1 << 30, 1), (4, 0, 1 << 30, 0), (4, 0, 2, -1)],
)
def test_tensors_stay_within_their_storage(length: int, offset: int, size: int, stride: int, tmp_path: Path) -> None:
    number = [b"J" + struct.pack("<i", value) for value in (length, offset, size, stride)]
    pickled = (
        b"\x80\x02}X\x01\x00\x00\x00w"
        + TENSOR
        + number[0]
        + b"tQ"
        + number[1]
        + number[2]
        + b"\x85"
        + number[3]
        + b"\x85"
    )
    pickled += b"\x89ccollections\nOrderedDict\n)RtRs."
    records = [("archive/data.pkl", pickled), ("archive/data/0", bytes(16)), ("archive/version", b"3\n")]
    write_archive(tmp_path / "model.pth", records)
    with pytest.raises(CheckpointError, match="damaged"):
        torch_file.read(open_source(tmp_path / "model.pth")).tensors["w"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_truncations(container: str, tmp_path: Path) -> None:
    whole = save({"state_dict": odd_tensors()}, tmp_path / "whole.pth", container).read_bytes()
    cut = tmp_path / "cut.pth"
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        cut.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            weights_convert.read(cut)


def test_a_pickled_model_and_a_program_are_named(tmp_path: Path) -> None:
    save(torch.nn.Linear(2, 3), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"class torch.nn.modules.linear.Linear, which is never run"):
        weights_convert.read(tmp_path / "model.pth")
    records = [("m/data.pkl", pickle.dumps({}, 2)), ("m/constants.pkl", b""), ("m/version", b"3\n")]
    write_archive(tmp_path / "program.pt", records)
    with pytest.raises(CheckpointError, match="TorchScript"):
        weights_convert.read(tmp_path / "program.pt")


def test_a_record_that_unpacks_too_far_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"}" + bytes(5_000) + b".")
    lying = buffer.getvalue().replace(struct.pack("<I", 5_002), struct.pack("<I", 0x7FFFFFFF))
    (tmp_path / "bomb.pth").write_bytes(lying)
    with pytest.raises(CheckpointError, match="claims to unpack"):
        weights_convert.read(tmp_path / "bomb.pth")


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_way_in_which_a_tensor_lies_is_read(container: str, tmp_path: Path) -> None:
    """Negative bits, strides, offsets, repeated values, shared storages, and numbers of 8 bits."""
    drawn = torch.view_as_complex(torch.randn(4, 6, 2))
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "negated": drawn.conj().imag,
        "negated and turned": drawn.conj().imag.T,
        "negated parameter": torch.nn.Parameter(drawn.conj().imag),
        "negated twice": drawn.conj().imag.conj(),
        "part": base[1:3, ::2],
        "turned": base.T,
        "repeated": base[:, :1].expand(4, 5),
        "one": base[2, 3],
        "windows": base.as_strided((3, 4), (6, 1), 1),
        "shared": base,
    }
    assert tensors["negated"].is_neg()
    read = torch_file.read(open_source(save(tensors, tmp_path / "odd.pth", container))).tensors
    for name, value in tensors.items():
        expected = value.detach().resolve_neg().numpy()
        assert np.array_equal(read[name], expected), name
        assert np.array_equal(np.signbit(read[name]), np.signbit(expected)), name


@pytest.mark.parametrize(
    "name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
)
def test_float8_is_read(name: str, tmp_path: Path) -> None:
    values = torch.tensor([0.5, 1, 2, 4]).to(getattr(torch, name))
    for container in CONTAINERS:
        read = torch_file.read(open_source(save({"x": values}, tmp_path / "x.pth", container))).tensors["x"]
        assert read.dtype.name == name
        assert read.astype(np.float32).tolist() == [0.5, 1, 2, 4]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: torch.randn(2, dtype=torch.complex64).conj(), "torch.ComplexFloatStorage"),
        (lambda: torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8), "torch._utils._rebuild_qtensor"),
        (lambda: torch.eye(3).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (lambda: torch.eye(3).to_sparse_csr(), "torch._utils._rebuild_sparse_tensor"),
        (lambda: torch.empty(3, device="meta"), "torch._utils._rebuild_meta_tensor_no_storage"),
        (
            lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            "torch._utils._rebuild_nested_tensor",
        ),
    ],
    ids=["complex", "quantised", "sparse", "sparse rows", "meta", "nested"],
)
def test_what_is_no_plain_tensor_is_refused_by_name(make: Any, what: str, tmp_path: Path) -> None:
    path = save({"w": torch.ones(2), "odd": make()}, tmp_path / "odd.pth", "zip")
    assert what in torch_file.read(open_source(path)).others["odd"]


def test_an_unknown_flag_is_refused_by_name(tmp_path: Path) -> None:
    storage = pickled_tensors.Storage("0", np.dtype(np.float32), 2)
    made = pickled_tensors.tensor(storage, 0, (2,), (1,), False, {}, {"conj": True, "neg": False})
    assert isinstance(made, Opaque)
    assert made.name == "tensor with torch's flag conj"

"""Damaged texts: JSON and UTF-8 in every place where a format keeps one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from danet_common.checkpoint.canonical import manifest
from shared_tests.malicious.archives import archive
from shared_tests.malicious.case import Case
from shared_tests.malicious.seeds import SEEDS, checkpoint, extract, tensors_only

TEXTS: Mapping[str, bytes] = {
    "empty": b"",
    "no UTF-8": b"\xff\xfe{}",
    "a lone continuation": b'{"a": "\x80"}',
    "UTF-16": '{"format_version": 1}'.encode("utf-16"),
    "cut short": b'{"format_version": 1, "config',
    "NaN": b'{"format_version": NaN}',
    "Infinity": b'{"format_version": 1, "config": {"dropout_rate": Infinity}, "source": {}, "sha256": {}}',
    "a number beyond all": b'{"format_version": 1, "config": {"dropout_rate": 1e999}, "source": {}, "sha256": {}}',
    "a number of many digits": b'{"format_version": ' + b"9" * 100_000 + b"}",
    "nested deeply": b"[" * 100_000,
    "objects nested deeply": b'{"a":' * 100_000,
    "a list": b"[]",
    "a text": b'"format_version"',
    "null": b"null",
    "a key twice": b'{"format_version": 2, "format_version": 1}',
    "another version": b'{"format_version": 99, "config": {}, "source": {}, "sha256": {}}',
    "no config": b'{"format_version": 1, "source": {}, "sha256": {}}',
    "a config that is a list": b'{"format_version": 1, "config": [], "source": {}, "sha256": {}}',
    "hashes that are a text": b'{"format_version": 1, "config": {}, "source": {}, "sha256": "abc"}',
    "a lone surrogate": b'{"format_version": "\\ud800"}',
    "a byte of zero": b'{"format_version": 1}\0',
}
VALUES: Mapping[str, Any] = {
    "NaN": float("nan"),
    "infinity": float("inf"),
    "null": None,
    "a text": "\x1b[2J",
    "a list": [],
    "nested lists": [[[[]]]],
    "an object": {"a": 1},
    "zero": 0,
    "negative": -1,
    "huge": 1 << 70,
    "huge numbers": [1 << 40] * 4,
    "a fraction": 1.5,
    "true": True,
}
FIELDS = (
    "layers",
    "widths",
    "num_classes",
    "mean",
    "std",
    "class_names",
    "palette",
    "dropout_rate",
    "block",
    "multi_grid",
)


def in_safetensors(text: bytes) -> bytes:
    """A manifest in a header; bytes that are no UTF-8 go in as they are."""
    header, data = extract("canonical.safetensors")
    metadata = b'{"danet":"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\0", b"\\u0000") + b'"}'
    body = json.dumps(header).encode()
    body = b'{"__metadata__":' + metadata + (b"," + body[1:] if header else b"}")
    return struct.pack("<Q", len(body)) + body + data


def in_npz(text: bytes) -> bytes:
    """A manifest as an array of bytes."""
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n" % len(text)
    return archive(
        {"__manifest__.npy": b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + text, **tensors_only("npz")}
    )


def in_keras(text: bytes) -> bytes:
    """The config of a model."""
    return archive({"metadata.json": b"{}", "config.json": text, **tensors_only("keras")})


def in_keras_metadata(text: bytes) -> bytes:
    """The metadata of a model."""
    model = {"registered_name": "danet>DANet", "config": {"config": {}}}
    return archive({"metadata.json": text, "config.json": json.dumps(model).encode(), **tensors_only("keras")})


def in_header(text: bytes) -> bytes:
    """A whole header of safetensors."""
    return struct.pack("<Q", len(text)) + text


PLACES: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "safetensors manifest": (".safetensors", in_safetensors),
    "safetensors header": (".safetensors", in_header),
    "npz manifest": (".npz", in_npz),
    "keras config": (".keras", in_keras),
    "keras metadata": (".keras", in_keras_metadata),
    "index": (".safetensors.index.json", lambda text: text),
}
ORBAX = ("state/_METADATA", "manifest/metadata")


def cases() -> Iterator[Case]:
    """Every damaged text in every place, and every field of a config with values that make no network."""
    for place, (ending, make) in PLACES.items():
        for name, text in TEXTS.items():
            yield Case(f"{place}: {name}", Written(ending, make, text))
    for file in ORBAX:
        for name, text in TEXTS.items():
            yield Case(f"orbax {file}: {name}", OrbaxText(file, text))
    for field in FIELDS:
        for name, value in VALUES.items():
            if (field, name) not in SOUND:
                yield Case(f"config: {field} {name}", Written(".safetensors", in_safetensors, stating(field, value)))


SOUND = {  # of these the fields may be
    *((field, "null") for field in ("class_names", "palette", "multi_grid")),
    ("dropout_rate", "zero"),
    ("multi_grid", "huge numbers"),
}


def stating(field: str, value: Any) -> bytes:
    """A manifest with one field of its config changed; the hashes are right."""
    content = manifest(checkpoint())
    content["config"][field] = value
    return json.dumps(content).encode()


class Written:
    """A file with a text in it."""

    def __init__(self, ending: str, make: Callable[[bytes], bytes], text: bytes) -> None:
        self.ending, self.make, self.text = ending, make, text

    def __call__(self, folder: Path) -> Path:
        """Build it."""
        path = folder / f"malicious{self.ending}"
        path.write_bytes(self.make(self.text))
        return path


class OrbaxText:
    """An Orbax directory with one of its texts replaced."""

    def __init__(self, file: str, text: bytes) -> None:
        self.file, self.text = file, text

    def __call__(self, folder: Path) -> Path:
        """Build it."""
        path = folder / "malicious.orbax"
        SEEDS["canonical.orbax"](path)
        (path / self.file).write_bytes(self.text)
        return path

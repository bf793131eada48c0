"""Write an HDF5 file as a stream, in the layout that `hdf5_reader` reads. h5py and Keras read it too.

All addresses are computed first: superblock, datasets, metadata. The writer then streams one tensor after
another. A full disk raises OSError, and equal content gives equal bytes.

Source: HDF5 File Format Specification, version 3.0; see `hdf5_reader` for the sections.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from danet_common import CheckpointError
from weights_convert.containers.hdf5_reader import ATTRIBUTE, DTYPE, GROUP, LAYOUT, SIGNATURE, SPACE, UNDEFINED
from weights_convert.containers.hdf5_types import MESSAGES, TEXT
from weights_convert.containers.zip_archive import Stream, raw_bytes

FILL_VALUE = 0x05
NO_FILL_VALUE = bytes((2, 2, 2, 0))  # version 2, allocated late, written if set, not set
TREE_RANK = 16  # half the capacity of a tree node
LEAST_LEAF_RANK = 4
DATA_START = 128
HEAP_LEAST = 4096  # bytes; the least size of a global heap collection
NO_FREE_SPACE = 1  # in a local heap


@dataclass(frozen=True, eq=False)
class Array:
    """A dataset to write; the file has C order even if `values` has another."""

    values: np.ndarray
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Group:
    """A group to write."""

    members: dict[str, Group | Array] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)

    def group(self, path: str) -> Group:
        """Return the group at a path below this one; create it if it is missing."""
        here = self
        for name in path.split("/"):
            found = here.members.setdefault(name, Group())
            assert isinstance(found, Group)
            here = found
        return here


def hdf5_stream(root: Group) -> Stream:
    """Return the file as a stream. Raise CheckpointError for a dtype that Keras files cannot hold."""
    starts: dict[int, int] = {}
    end = DATA_START
    for array in _arrays(root):
        if array.values.dtype not in MESSAGES:
            raise CheckpointError(f"Keras files cannot hold dtype {array.values.dtype}. Choose another with --dtype")
        starts[id(array)] = end
        end += -(-array.values.nbytes // 8) * 8
    descriptions = _Descriptions(end, starts, root)
    head = descriptions.superblock()
    return Stream(end + len(descriptions.bytes), _chunks(head, root, descriptions.bytes))


def _chunks(head: bytes, root: Group, tail: bytearray) -> Iterator[bytes | memoryview]:
    yield head
    for array in _arrays(root):
        yield raw_bytes(array.values)
        yield bytes(-array.values.nbytes % 8)
    yield bytes(tail)


def _arrays(group: Group) -> Iterator[Array]:
    for member in group.members.values():
        if isinstance(member, Array):
            yield member
        else:
            yield from _arrays(member)


class _Descriptions:
    """Metadata other than the superblock, built bottom-up; `base` is its offset in the file."""

    def __init__(self, base: int, starts: Mapping[int, int], root: Group) -> None:
        self.base, self.starts = base, starts
        self.bytes = bytearray()
        most = max((len(group.members) for group in _groups(root)), default=0)
        self.leaf_rank = max(LEAST_LEAF_RANK, math.ceil(most / (4 * TREE_RANK)))
        self.texts = self._heap([text for item in _described(root) for text in item.attributes.values()])
        self.root, self.tree, self.heap = self._group(root)

    def superblock(self) -> bytes:
        head = struct.pack("<8s8BHHI", SIGNATURE, 0, 0, 0, 0, 0, 8, 8, 0, self.leaf_rank, TREE_RANK, 0)
        head += struct.pack("<4Q", 0, UNDEFINED, self.base + len(self.bytes), UNDEFINED)
        head += struct.pack("<QQIIQQ", 0, self.root, 1, 0, self.tree, self.heap)  # 1: tree and heap follow
        return head.ljust(DATA_START, b"\0")

    def _add(self, data: bytes) -> int:
        address = self.base + len(self.bytes)
        self.bytes += data + bytes(-len(data) % 8)
        return address

    def _heap(self, texts: list[str]) -> dict[str, tuple[int, int]]:
        """Store each text once; return text -> (address of its collection, index in it)."""
        known = {text: number for number, text in enumerate(dict.fromkeys(texts), start=1)}
        objects = b"".join(
            struct.pack("<HHIQ", number, 0, 0, len(text.encode())) + _padded(text.encode())
            for text, number in known.items()
        )
        size = -(-(16 + len(objects) + 16) // HEAP_LEAST) * HEAP_LEAST
        free = struct.pack("<HHIQ", 0, 0, 0, size - 16 - len(objects))
        data = struct.pack("<4sB3xQ", b"GCOL", 1, size) + objects + free
        address = self._add(data.ljust(size, b"\0"))
        return {text: (address, number) for text, number in known.items()}

    def _group(self, group: Group) -> tuple[int, int, int]:
        """Return the addresses of a group's object header, tree and heap."""
        members = []
        names, offset = bytearray(8), 8
        for name in sorted(group.members, key=str.encode):
            member = group.members[name]
            address = self._array(member) if isinstance(member, Array) else self._group(member)[0]
            members.append((offset, address))
            names += _padded(name.encode() + b"\0")
            offset = len(names)
        heap_data = self._add(bytes(names))
        heap = self._add(struct.pack("<4sB3xQQQ", b"HEAP", 0, len(names), NO_FREE_SPACE, heap_data))
        tree = self._tree(members)
        header = self._header([(GROUP, struct.pack("<QQ", tree, heap)), *self._attributes(group.attributes)])
        return header, tree, heap

    def _tree(self, members: list[tuple[int, int]]) -> int:
        """Return the address of a tree of one level; each key is the offset of the last name in a node."""
        per_node = 2 * self.leaf_rank
        keys_and_nodes, count = struct.pack("<Q", 0), 0
        for start in range(0, len(members), per_node):
            part = members[start : start + per_node]
            entries = b"".join(struct.pack("<QQ24x", *member) for member in part)
            node = struct.pack("<4sBxH", b"SNOD", 1, len(part)) + entries
            address = self._add(node.ljust(8 + 40 * per_node, b"\0"))
            keys_and_nodes += struct.pack("<QQ", address, part[-1][0])
            count += 1
        tree = struct.pack("<4sBBHQQ", b"TREE", 0, 0, count, UNDEFINED, UNDEFINED) + keys_and_nodes
        return self._add(tree.ljust(24 + 8 * (4 * TREE_RANK + 1), b"\0"))

    def _array(self, array: Array) -> int:
        shape, size = array.values.shape, array.values.nbytes
        space = struct.pack(f"<BB6x{len(shape)}Q", 1, len(shape), *shape)
        start = self.starts[id(array)] if size else UNDEFINED
        return self._header(
            [
                (SPACE, space),
                (DTYPE, MESSAGES[array.values.dtype]),
                (FILL_VALUE, NO_FILL_VALUE),
                (LAYOUT, struct.pack("<BBQQ", 3, 1, start, size)),
                *self._attributes(array.attributes),
            ]
        )

    def _attributes(self, attributes: Mapping[str, str]) -> Iterator[tuple[int, bytes]]:
        for key, text in attributes.items():
            name, space = key.encode() + b"\0", struct.pack("<B7x", 1)
            value = struct.pack("<IQI", len(text.encode()), *self.texts[text])
            head = struct.pack("<BxHHH", 1, len(name), len(TEXT), len(space))
            yield ATTRIBUTE, head + _padded(name) + _padded(TEXT) + space + value

    def _header(self, messages: list[tuple[int, bytes]]) -> int:
        body = b"".join(struct.pack("<HHB3x", kind, len(_padded(data)), 0) + _padded(data) for kind, data in messages)
        return self._add(struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)


def _groups(group: Group) -> Iterator[Group]:
    yield group
    for member in group.members.values():
        if isinstance(member, Group):
            yield from _groups(member)


def _described(root: Group) -> Iterator[Group | Array]:
    """Yield all groups and datasets."""
    yield from _groups(root)
    yield from _arrays(root)


def _padded(data: bytes) -> bytes:
    """Pad with zero bytes to a multiple of eight."""
    return data + bytes(-len(data) % 8)

"""Read the structure of an HDF5 file without the HDF5 library.

Keras writes the simplest kind of HDF5: the oldest layout, contiguous datasets, no compression. This module
reads that kind only. It checks every number against the size of the file before it uses the number.

The HDF5 library follows links into other files, and damaged files crash it (docs/design.md). So it writes files
and reads none.

Source: HDF5 File Format Specification, version 3.0. The section of each structure stands beside its code.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from weights_convert.containers.hdf5_contents import Dataset, Hdf5, check_overlaps, read_dtype
from weights_convert.containers.source_file import FileBytes

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = (1 << 64) - 1
SOFT_LINK = 2  # cache type of a symbol table entry
LONGEST_NAME = 1 << 10  # bytes of a link or an attribute; characters of a path
READ_FACTOR, READ_FLOOR = 16, 1 << 16  # reads of metadata in total: at most 16 times the file size, plus 64 KiB
MAXIMUM_RANK = 32

# Types of header messages (IV.A.2).
SPACE, DTYPE, EXTERNAL, LAYOUT, ATTRIBUTE, CONTINUATION, GROUP = 0x01, 0x03, 0x07, 0x08, 0x0C, 0x10, 0x11
NEWER = (0x02, 0x06, 0x15)  # groups and attributes of later layouts, and links to other files
LEAST_SIZES = {SPACE: 4, DTYPE: 8, LAYOUT: 2, ATTRIBUTE: 8, CONTINUATION: 16, GROUP: 16}  # bytes
SHARED = 0x02  # flag: the message is stored at another place in the file
VARIABLE_TEXT = b"\x19\x01"  # class and kind of a variable-length text of any character set

Messages = list[tuple[int, int, int, int]]  # type, flags, first byte, size


def read_hdf5(raw: np.ndarray | FileBytes) -> Hdf5:
    """Return the structure of the file in `raw`, uint8 (n,). Raise ValueError if it is damaged or not of this kind."""
    return _Reader(raw).read()


class _Reader:
    def __init__(self, raw: np.ndarray | FileBytes) -> None:
        self.raw = raw
        self.left = READ_FACTOR * raw.size + READ_FLOOR
        self.collections: dict[int, dict[int, tuple[int, int]]] = {}

    def read(self) -> Hdf5:
        attributes: Mapping[str, str | None] = {}
        groups: set[str] = set()
        datasets: dict[str, Dataset] = {}
        waiting, seen = [("", self.root())], set()
        while waiting:
            path, address = waiting.pop()
            if address in seen:
                raise ValueError(f"{path!r} occurs twice")
            seen.add(address)
            messages = self.messages(address)
            if any(kind in NEWER for kind, *_ in messages):
                raise ValueError(f"{path or '/'!r} has a newer HDF5 layout or links; Keras writes neither")
            children = [start for kind, _, start, _ in messages if kind == GROUP]
            if children:
                groups.add(path)
                attributes = attributes if path else self.attributes(messages)
                links = self.links(children[0])
                below = [(f"{path}/{name}".lstrip("/"), child) for name, child in links]
                if any(len(name) > LONGEST_NAME for name, _ in below):
                    raise ValueError(f"the path of a member of {path[:50]!r} is too long")
                waiting += reversed(below)
            elif path:
                datasets[path] = self.dataset(messages)
        check_overlaps(datasets)
        return Hdf5(attributes, frozenset(groups), datasets)

    # Bytes. Every read is checked against the size of the file.
    def take(self, start: int, size: int) -> bytes:
        self.left -= size
        if start + size > self.raw.size:
            raise ValueError(f"{size} bytes at {start} reach beyond the end of the file")
        if self.left < 0:
            raise ValueError("metadata overlaps")
        return self.raw[start : start + size].tobytes()

    def unpack(self, layout: str, start: int) -> tuple:
        return struct.unpack(layout, self.take(start, struct.calcsize(layout)))

    def text(self, start: int, limit: int = LONGEST_NAME) -> str:
        """Return a zero-terminated text."""
        text, end, _ = self.take(start, min(limit, max(0, self.raw.size - start))).partition(b"\0")
        if not end:
            raise ValueError("a name has no terminating zero")
        return text.decode("utf-8")

    # Structures.
    def root(self) -> int:
        """Return the address of the root's object header, from the superblock (II.A)."""
        signature, version, offset_size, length_size = self.unpack("<8sB4xBB", 0)
        if signature != SIGNATURE or version > 1 or (offset_size, length_size) != (8, 8):
            raise ValueError(f"superblock version {version} is not the layout that Keras writes")
        base, _, end, _, _, address = self.unpack("<6Q", 24 + 4 * version)
        if base != 0 or end > self.raw.size:
            raise ValueError(f"the file has {self.raw.size} of {end} bytes")
        return int(address)

    def messages(self, address: int) -> Messages:
        """Return the messages of an object header, version 1 (IV.A.1), with its continuations."""
        version, count, size = self.unpack("<BxH4xI4x", address)
        if version != 1:
            raise ValueError("an object has a newer HDF5 layout than Keras writes")
        result: Messages = []
        blocks = [(address + 16, address + 16 + size)]
        while blocks and len(result) < count:
            start, end = blocks.pop()
            if end > self.raw.size:
                raise ValueError("an object reaches beyond the end of the file")
            while start + 8 <= end and len(result) < count:
                kind, length, flags = self.unpack("<HHB3x", start)
                if start + 8 + length > end or length < LEAST_SIZES.get(kind, 0):
                    raise ValueError("a message reaches beyond its header")
                result.append((kind, flags, start + 8, length))
                if kind == CONTINUATION:
                    first, room = self.unpack("<QQ", start + 8)
                    blocks.append((first, first + room))
                start += 8 + length
        if len(result) != count:
            raise ValueError(f"an object has {len(result)} of {count} messages")
        return result

    def links(self, message: int) -> Iterator[tuple[str, int]]:
        """Yield name and object header of each member of a group: B-tree (III.A.1), nodes (III.C), heap (III.D)."""
        tree, heap = self.unpack("<QQ", message)
        signature, names_size, names = self.unpack("<4s4xQ8xQ", heap)
        if signature != b"HEAP" or names + names_size > self.raw.size:
            raise ValueError("the names of a group are missing")
        for node in self.leaves(tree):
            signature, count = self.unpack("<4s2xH", node)
            if signature != b"SNOD":
                raise ValueError("the members of a group are missing")
            for index in range(count):
                offset, address, cached = self.unpack("<QQI", node + 8 + 40 * index)
                if offset >= names_size:
                    raise ValueError("a member has no name")
                name = self.text(names + offset, min(LONGEST_NAME, names_size - offset))
                if cached == SOFT_LINK:
                    raise ValueError(f"{name!r} is a link; Keras writes no links")
                if name in ("", ".", "..") or "/" in name:
                    raise ValueError(f"{name!r} is not a valid name of a member")
                yield name, address

    def leaves(self, tree: int) -> Iterator[int]:
        """Yield the addresses of a B-tree's symbol table nodes, in order."""
        waiting = [(tree, 256)]
        while waiting:
            address, above = waiting.pop()
            signature, kind, level, count = self.unpack("<4sBBH", address)
            if signature != b"TREE" or kind != 0 or level >= above:
                raise ValueError("the tree of a group is damaged")
            children = [self.unpack("<Q", address + 32 + 16 * index)[0] for index in range(count)]
            if level == 0:
                yield from children
            else:
                waiting += [(child, level) for child in reversed(children)]

    def dataset(self, messages: Messages) -> Dataset:
        parts = {kind: (flags, start, size) for kind, flags, start, size in messages}
        if not {SPACE, DTYPE, LAYOUT} <= parts.keys():
            raise ValueError("an object is neither a group nor a dataset")
        shape = self.shape(parts[SPACE][1])
        attributes = self.attributes(messages)
        flags, start, size = parts[DTYPE]
        dtype = None if flags & SHARED else read_dtype(self.take(start, size), attributes.get("dtype"))
        version, kind = self.unpack("<BB", parts[LAYOUT][1])
        if dtype is None:
            return Dataset(shape, np.dtype(np.uint8), 0, "does not hold numbers")
        size, address, error = math.prod(shape) * dtype.itemsize, 0, ""
        if version != 3 or kind != 1 or EXTERNAL in parts:
            error = "is chunked or external; Keras stores contiguous datasets. Save the file again with Keras"
        elif max(shape, default=0) > self.raw.size:  # another dimension is 0, but NumPy rejects the shape
            error = f"claims the shape {list(shape)}"
        elif size:
            address, stored = self.unpack("<QQ", parts[LAYOUT][1] + 2)
            if address == UNDEFINED:
                error = "has no data"
            elif stored != size or address + size > self.raw.size:
                error = "reaches beyond the end of the file, or has another size"
        return Dataset(shape, dtype, address, error)

    def shape(self, start: int) -> tuple[int, ...]:
        """Return a shape from its dataspace message (IV.A.2.b), versions 1 and 2."""
        version, rank, _, kind = self.unpack("<4B", start)
        if version not in (1, 2) or rank > MAXIMUM_RANK or (version == 2 and kind > 1):
            raise ValueError("a dataset has an invalid shape")
        return self.unpack(f"<{rank}Q", start + (8 if version == 1 else 4))

    def attributes(self, messages: Messages) -> dict[str, str | None]:
        """Return an object's attributes (IV.A.2.m); None for a value that is not a single text."""
        result: dict[str, str | None] = {}
        for kind, flags, start, size in messages:
            if kind == ATTRIBUTE:
                version, name_size, dtype_size, space_size = self.unpack("<BxHHH", start)
                if flags & SHARED or version not in (1, 3):
                    raise ValueError("an attribute has a newer HDF5 layout than Keras writes")
                place, step = (start + 8, 8) if version == 1 else (start + 9, 1)  # version 1 pads to 8 bytes
                name = self.text(place, name_size)
                dtype = place + -(-name_size // step) * step
                space = dtype + -(-dtype_size // step) * step
                value = space + -(-space_size // step) * step
                single = self.shape(space) == ()
                is_text = self.take(dtype, dtype_size)[: len(VARIABLE_TEXT)] == VARIABLE_TEXT
                result[name] = self.heap_text(value) if single and is_text and value + 16 <= start + size else None
        return result

    def heap_text(self, start: int) -> str | None:
        """Return a variable-length text from a global heap collection (III.E)."""
        length, address, index = self.unpack("<IQI", start)
        if length == 0:
            return ""
        if address not in self.collections:
            self.collections[address] = dict(self.heap_objects(address))
        place, size = self.collections[address].get(index, (0, -1))
        if length != size:
            raise ValueError("a text is missing from its heap")
        return self.take(place, length).decode("utf-8")

    def heap_objects(self, address: int) -> Iterator[tuple[int, tuple[int, int]]]:
        signature, size = self.unpack("<4s4xQ", address)
        if signature != b"GCOL" or address + size > self.raw.size:
            raise ValueError("a heap is damaged")
        place, end = address + 16, address + size
        while place + 16 <= end:
            index, length = self.unpack("<H6xQ", place)
            if index == 0:  # free space at the end of the heap
                return
            yield index, (place + 16, length)
            place += 16 + -(-length // 8) * 8

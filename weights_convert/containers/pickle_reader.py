"""Read a pickle as data: this reader imports and calls nothing that the pickle names.

A pickle is a program for a small stack machine. This module implements the machine, protocols 0 to 5. A
global is only a name here. The file format passes a table of constructors for the few names that it knows.
Every other name, and every object built from it, becomes an inert `Opaque`.

The file bounds the memory: the reader compares each announced length with the bytes that are left. Sets become
lists, and keys are texts, bytes and small integers. Hashing a nested value could take forever, and so could a
dictionary of large integers with equal hashes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from danet_common import CheckpointError
from weights_convert.containers.file_bytes import FileBytes, part_of
from weights_convert.containers.pickle_objects import Global, Opaque, Stateful, as_dict, named
from weights_convert.containers.pickle_values import CONSTANTS, LINES, LONG_BYTES, NUMBERS, STRINGS

MAXIMUM_INSTRUCTIONS = 1_000_000  # a ResNet-101 with its optimizer takes about 100,000
MAXIMUM_MEMO = 1 << 32  # the largest index of the binary instructions
LINE_STEP = 1 << 12  # bytes in one search for the end of a line
DAMAGE = (LookupError, ValueError, TypeError, AttributeError, OverflowError, struct.error, RecursionError)
SIZED = (str, bytes, memoryview, list, tuple, dict)

Bytes = memoryview | FileBytes
Constructor = Callable[..., Any]  # its positional arguments come from the file


def read_pickle(
    data: Bytes,
    constructors: Mapping[str, Constructor],
    persistent: Callable[[Any], Any] | None = None,
    position: int = 0,
) -> tuple[Any, int]:
    """Return the value of the pickle that starts at `position`, and the position of its end.

    `persistent` turns a persistent id into its value. Raise CheckpointError if the pickle is damaged.
    """
    machine = _Machine(data, constructors, persistent, position)
    try:
        return machine.run(), machine.position
    except CheckpointError:
        raise
    except DAMAGE as error:
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"the pickle is damaged near byte {machine.position} ({reason})") from None


class _Machine:
    def __init__(
        self,
        data: Bytes,
        constructors: Mapping[str, Constructor],
        persistent: Callable[[Any], Any] | None,
        position: int,
    ) -> None:
        self.data, self.position = data, position
        self.window, self.first = memoryview(b""), position  # a buffered part of the data, for small reads
        self.constructors, self.persistent = constructors, persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each MARK
        self.memo: dict[int, Any] = {}
        self.charged = 0  # total length of constructor arguments

    def run(self) -> Any:
        for _ in range(MAXIMUM_INSTRUCTIONS):
            code = self.take(1)[0]
            if code == ord("."):
                return self.stack.pop()
            if code in NUMBERS:
                self.push(self.number(NUMBERS[code]))
            elif code in STRINGS:
                length, convert = STRINGS[code]
                self.push(convert(self.take(self.number(length))))
            elif code in LINES:
                self.push(LINES[code](self.line()))
            elif code in CONSTANTS:
                self.push(CONSTANTS[code]())
            elif code in ACTIONS:
                ACTIONS[code](self)
            else:
                raise ValueError(f"{code:#04x} is not a pickle instruction")
        raise CheckpointError(f"the pickle has more than {MAXIMUM_INSTRUCTIONS} instructions, more than any checkpoint")

    # Reads from the program.
    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self.data) - self.position:
            raise ValueError(f"{count} bytes announced, {len(self.data) - self.position} left")
        start, self.position = self.position, self.position + count
        if count >= LONG_BYTES:
            return part_of(self.data, start, start + count)
        if self.position > self.first + len(self.window):
            self.first, self.window = start, part_of(self.data, start, start + LONG_BYTES)
        return self.window[start - self.first : start - self.first + count]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        start = end = self.position
        while end < len(self.data):
            found = bytes(part_of(self.data, end, end + LINE_STEP)).find(b"\n")
            if found >= 0:
                self.position = end + found + 1
                return str(part_of(self.data, start, end + found), "latin-1")
            end += LINE_STEP
        raise ValueError("a line has no end")

    # The stack.
    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def gather(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    # The memo.
    def remember(self, index: int) -> None:
        if not 0 <= index < MAXIMUM_MEMO:
            raise ValueError(f"memo index {index} is out of range")
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.push(self.memo[index])

    # Containers. An inert value in the place of a container drops its items.
    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)

    def assign(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is dict:
            before, new = self.stack[-1], as_dict(items)
            if not before.keys().isdisjoint(new):
                raise ValueError("a key occurs twice")
            before.update(new)

    # Globals and their objects.
    def charge(self, arguments: Any) -> None:
        """Limit the arguments of all constructors to the size of the file: a memo can repeat one long string."""
        if type(arguments) is tuple:
            self.charged += sum(len(argument) for argument in arguments if isinstance(argument, SIZED))
        if self.charged > 2 * len(self.data) + LONG_BYTES:
            raise CheckpointError("the pickle expands to far more data than it contains; no checkpoint does")

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Stateful):
            self.charge(state)
            self.stack[-1].set_state(state)

    def call(self, function: Any, arguments: Any) -> None:
        self.charge(arguments)
        if isinstance(function, Global) and function.name in self.constructors and type(arguments) is tuple:
            self.push(self.constructors[function.name](*arguments))
        else:
            self.push(Opaque(getattr(function, "name", type(function).__name__)))

    def reduce(self) -> None:
        arguments = self.stack.pop()
        self.call(self.stack.pop(), arguments)

    def reduce_with_keywords(self) -> None:
        self.stack.pop()
        self.reduce()

    def build_object(self) -> None:
        function, *arguments = self.since_mark()
        self.call(function, tuple(arguments))

    def build_instance(self) -> None:
        function = self.global_line()
        self.call(function, tuple(self.since_mark()))

    def global_line(self) -> Global:
        module = self.line()
        return named(module, self.line())

    def global_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError("the name of a global is not text")
        self.push(named(module, name))

    def resolve_persistent(self, identity: Any) -> None:
        name = "persistent id"
        self.push(Opaque(name) if self.persistent is None else self.persistent(identity))


# Instructions that work on the stack.
ACTIONS: dict[int, Callable[[_Machine], Any]] = {
    ord("("): _Machine.mark,
    ord("0"): _Machine.pop,
    ord("1"): _Machine.since_mark,
    ord("2"): lambda machine: machine.push(machine.stack[-1]),
    ord("a"): lambda machine: machine.extend([machine.stack.pop()]),
    ord("e"): lambda machine: machine.extend(machine.since_mark()),
    0x90: lambda machine: machine.extend(machine.since_mark()),
    ord("s"): lambda machine: machine.assign([machine.stack.pop(-2), machine.stack.pop()]),
    ord("u"): lambda machine: machine.assign(machine.since_mark()),
    ord("l"): lambda machine: machine.push(machine.since_mark()),
    0x91: lambda machine: machine.push(machine.since_mark()),
    ord("d"): lambda machine: machine.push(as_dict(machine.since_mark())),
    ord("t"): lambda machine: machine.push(tuple(machine.since_mark())),
    0x85: lambda machine: machine.gather(1),
    0x86: lambda machine: machine.gather(2),
    0x87: lambda machine: machine.gather(3),
    ord("c"): lambda machine: machine.push(machine.global_line()),
    0x93: _Machine.global_from_stack,
    ord("R"): _Machine.reduce,
    0x81: _Machine.reduce,
    0x92: _Machine.reduce_with_keywords,
    ord("o"): _Machine.build_object,
    ord("i"): _Machine.build_instance,
    ord("b"): _Machine.build,
    # Extension codes index a registry of the writing process; this reader never looks them up.
    0x82: lambda machine: machine.push(Global(f"extension {machine.number('<B')}")),
    0x83: lambda machine: machine.push(Global(f"extension {machine.number('<H')}")),
    0x84: lambda machine: machine.push(Global(f"extension {machine.number('<i')}")),
    ord("P"): lambda machine: machine.resolve_persistent(machine.line()),
    ord("Q"): lambda machine: machine.resolve_persistent(machine.stack.pop()),
    ord("p"): lambda machine: machine.remember(int(machine.line())),
    ord("q"): lambda machine: machine.remember(machine.number("<B")),
    ord("r"): lambda machine: machine.remember(machine.number("<I")),
    0x94: lambda machine: machine.remember(len(machine.memo)),
    ord("g"): lambda machine: machine.recall(int(machine.line())),
    ord("h"): lambda machine: machine.recall(machine.number("<B")),
    ord("j"): lambda machine: machine.recall(machine.number("<I")),
    0x80: lambda machine: machine.number("<B"),  # protocol
    0x95: lambda machine: machine.number("<Q"),  # frame
    0x97: lambda machine: machine.push(Opaque("out-of-band buffer")),
    0x98: lambda machine: None,  # read-only buffer
}

"""Read a pickle as data: this reader imports and calls nothing that the pickle names.

A pickle is a program for a small stack machine. `pickletools` splits it into instructions, and this module runs
them, protocols 0 to 5. A global is only a name here. The file format passes a table of constructors for the few
names that it knows. Every other name, and every object built from it, becomes an inert `Opaque`.

The file bounds the memory: the reader compares each announced length with the bytes that are left. Sets become
lists, and keys are texts, bytes and small integers. Hashing a nested value could take forever, and so could a
dictionary of large integers with equal hashes.
"""

from __future__ import annotations

import os
import pickletools
import struct
from collections.abc import Callable, Mapping
from itertools import islice
from typing import IO, Any

from danet_common import CheckpointError
from weights_convert.containers.pickle_objects import Global, Opaque, Stateful, as_dict, named

MAXIMUM_INSTRUCTIONS = 1_000_000  # a ResNet-101 with its optimizer takes about 100,000
MAXIMUM_MEMO = 1 << 32  # the largest index of the binary instructions
LONGEST_LINE = 1 << 20  # bytes
ROOM = 1 << 16  # bytes of arguments that any pickle may have
DAMAGE = (LookupError, ValueError, TypeError, AttributeError, OverflowError, struct.error, RecursionError)
SIZED = (str, bytes, bytearray, list, tuple, dict)

Constructor = Callable[..., Any]  # its positional arguments come from the file


def read_pickle(
    file: IO[bytes], constructors: Mapping[str, Constructor], persistent: Callable[[Any], Any] | None = None
) -> Any:
    """Return the value of the pickle that starts at the position of a file. The file then stands at its end.

    `persistent` turns a persistent id into its value. Raise CheckpointError if the pickle is damaged.
    """
    program = _Program(file)
    try:
        return _Machine(program.size, constructors, persistent).run(program)
    except CheckpointError:
        raise
    except DAMAGE as error:
        place = program.size - program.left
        raise CheckpointError(f"the pickle is damaged near byte {place} ({type(error).__name__}: {error})") from None


class _Program:
    """File object for pickletools, which compares announced lengths with the bytes that are left."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, start = file, file.tell()
        self.size = self.left = file.seek(0, os.SEEK_END) - start
        file.seek(start)

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise ValueError(f"{count} bytes announced, {self.left} left")
        self.left -= count
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(LONGEST_LINE)
        self.left -= len(line)
        return line


class _Machine:
    def __init__(
        self, size: int, constructors: Mapping[str, Constructor], persistent: Callable[[Any], Any] | None
    ) -> None:
        self.size, self.constructors, self.persistent = size, constructors, persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each MARK
        self.memo: dict[int, Any] = {}
        self.charged = 0  # total length of constructor arguments

    def run(self, program: Any) -> Any:
        for opcode, argument, _ in islice(pickletools.genops(program), MAXIMUM_INSTRUCTIONS):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in CONSTANTS:
                self.push(CONSTANTS[opcode.name]())
            elif opcode.name in ACTIONS:
                ACTIONS[opcode.name](self, argument)
            else:  # a number, a text or bytes
                self.push(argument)
        raise CheckpointError(f"the pickle has more than {MAXIMUM_INSTRUCTIONS} instructions, more than any checkpoint")

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
        if self.charged > 2 * self.size + ROOM:
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

    def build_instance(self, name: str) -> None:
        self.call(named(*name.split(" ", 1)), tuple(self.since_mark()))

    def global_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError("the name of a global is not text")
        self.push(named(module, name))

    def resolve_persistent(self, identity: Any) -> None:
        name = "persistent id"
        self.push(Opaque(name) if self.persistent is None else self.persistent(identity))


CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "NEXT_BUFFER": lambda: Opaque("out-of-band buffer"),
}
# Instructions that work on the stack, with their argument.
ACTIONS: Mapping[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME", "READONLY_BUFFER"), lambda machine, _: None),
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.since_mark())),
    "SETITEM": lambda machine, _: machine.assign([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.assign(machine.since_mark()),
    **dict.fromkeys(("LIST", "FROZENSET"), lambda machine, _: machine.push(machine.since_mark())),
    "DICT": lambda machine, _: machine.push(as_dict(machine.since_mark())),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.gather(1),
    "TUPLE2": lambda machine, _: machine.gather(2),
    "TUPLE3": lambda machine, _: machine.gather(3),
    "GLOBAL": lambda machine, name: machine.push(named(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.global_from_stack(),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda machine, _: machine.reduce()),
    "NEWOBJ_EX": lambda machine, _: machine.reduce_with_keywords(),
    "OBJ": lambda machine, _: machine.build_object(),
    "INST": lambda machine, name: machine.build_instance(name),
    "BUILD": lambda machine, _: machine.build(),
    # Extension codes index a registry of the writing process; this reader never looks them up.
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda machine, code: machine.push(Global(f"extension {code}"))),
    "PERSID": lambda machine, identity: machine.resolve_persistent(identity),
    "BINPERSID": lambda machine, _: machine.resolve_persistent(machine.stack.pop()),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
}

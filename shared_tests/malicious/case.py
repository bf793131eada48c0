"""One malicious or broken file, and how it is put on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Build = Callable[[Path], Path]


@dataclass(frozen=True)
class Case:
    """`build` makes the file or directory in an empty folder and returns what is to be converted."""

    name: str
    build: Build


def file_case(name: str, ending: str, content: bytes) -> Case:
    """A case of a single file."""

    def build(folder: Path) -> Path:
        path = folder / f"malicious{ending}"
        path.write_bytes(content)
        return path

    return Case(name, build)


def file_cases(family: str, ending: str, contents: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Iterator[Case]:
    """A case for each content."""
    items = contents.items() if isinstance(contents, Mapping) else contents
    for name, content in items:
        yield file_case(f"{family}: {name}", ending, content)

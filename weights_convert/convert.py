"""Convert a file to another format or schema, always through the canonical checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danet_common import DANetConfig
from weights_convert.casting import cast
from weights_convert.formats import writer_of
from weights_convert.overlap import refuse_overlap
from weights_convert.read import read
from weights_convert.write import check_destination, write_to


@dataclass(frozen=True)
class Report:
    """Result of a conversion.

    tensors  number of tensors written; a canonical file's extra tensors do not count
    bytes    their total size
    lines    reported lines in order: defaults, filled, dropped and omitted tensors
    """

    source: str
    destination: str
    format: str
    schema: str
    config: DANetConfig
    tensors: int
    bytes: int
    lines: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return {**vars(self), "config": self.config.to_dict(), "lines": list(self.lines)}


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    schema: str | None = None,
    *,
    to_schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    dtype: str | None = None,
    force: bool = False,
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> Report:
    """Read `src`, write `dst`; the ending of `dst` chooses the format.

    schema       schema of `src`; None: detect it from the names of the tensors
    to_schema    schema of `dst`; None: canonical
    settings     config field -> text, for fields that `src` does not determine
    dtype        float32, float64, bfloat16 or float16; None: keep the dtypes
    force        replace an existing `dst`: a file, or a folder with only an Orbax checkpoint
    report       called at once with each line about defaults, filled, dropped or omitted tensors
    weights_key  the set of weights to take if `src` has several; None: the trained one

    Raise CheckpointError if `src` cannot be read, if `dst` cannot be written, or if `dst` is part of `src`.
    After an error, `dst` is unchanged.
    """
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if report is not None:
            report(line)

    check_destination(dst, to_schema, force)
    refuse_overlap(Path(src), Path(dst))
    checkpoint = read(src, schema, settings, log, weights_key)
    if dtype is not None:
        checkpoint = cast(checkpoint, dtype)
        log(f"cast to {dtype}" + ("; BatchNorm tensors and gammas are float32" if dtype.endswith("16") else ""))
    written = write_to(checkpoint, Path(dst), to_schema, log, force)
    return Report(
        source=os.fspath(src),
        destination=os.fspath(dst),
        format=writer_of(Path(dst)).NAME,
        schema=to_schema or "canonical",
        config=checkpoint.config,
        tensors=len(written),
        bytes=sum(array.nbytes for array in written.values()),
        lines=tuple(lines),
    )

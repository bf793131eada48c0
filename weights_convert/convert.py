"""From one file to another, always through the canonical checkpoint."""

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
    """What a conversion did.

    tensors  how many the file holds, without passengers where it is canonical
    bytes    of them
    lines    everything that was defaulted, filled, dropped or left out, in the order in which it was reported
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
        """JSON-ready."""
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

    schema       the layout of `src`; None: recognised from its tensors
    to_schema    the layout of `dst`; None: canonical
    settings     config field -> text, for what `src` cannot tell
    dtype        float32, float64, bfloat16 or float16; None: as they are
    force        replace an existing `dst`: a file, or a folder that is an Orbax checkpoint and nothing else
    report       called with each line about what was defaulted, filled, dropped or left out, as it happens
    weights_key  which set of weights of `src` to take, where it has several; None: the one that was trained

    Raises CheckpointError for anything wrong with either end, and where `dst` is `src` or a part of it; then nothing
    is written and an existing `dst` is as it was.
    """
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if report is not None:
            report(line)

    check_destination(dst, to_schema, force)
    destination = Path(dst)
    refuse_overlap(Path(src), destination)
    checkpoint = read(src, schema, settings, log, weights_key)
    if dtype is not None:
        checkpoint = cast(checkpoint, dtype)
        log(f"cast to {dtype}" + ("; BatchNorm tensors and gammas are float32" if dtype.endswith("16") else ""))
    written = write_to(checkpoint, destination, to_schema, log, force)
    return Report(
        source=os.fspath(src),
        destination=os.fspath(dst),
        format=writer_of(destination).NAME,
        schema=to_schema or "canonical",
        config=checkpoint.config,
        tensors=len(written),
        bytes=sum(array.nbytes for array in written.values()),
        lines=tuple(lines),
    )

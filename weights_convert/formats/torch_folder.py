"""Read folders of trainers with torch files: `pytorch_model.bin` of the hub's trainer, and DeepSpeed's.

The hub's file may be several files with an index. DeepSpeed's file `latest` names the folder of the last step.
Source: transformers/utils/__init__.py 4.57; deepspeed/runtime/engine.py 0.18.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from danet_common import CheckpointError
from danet_common.checkpoint.shards import INDEX_LIMIT
from danet_common.files.regular_file import SETTINGS, read_regular, read_text
from danet_common.files.strict_json import parse_json
from weights_convert.containers.source_file import SourceFile, open_source
from weights_convert.contents import Contents, Unread, headers_of
from weights_convert.formats import torch_file

NAME = "torch folder"
WEIGHTS, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
LATEST, STATES, PARTS = "latest", "mp_rank_00_model_states.pt", "*_model_states.pt"


def recognises(source: SourceFile) -> bool:
    """True for a folder with such a file, and for the index."""
    if not source.is_folder:
        return source.path.name == INDEX
    return any((source.path / name).is_file() for name in (WEIGHTS, INDEX, LATEST)) or any(source.path.glob(PARTS))


def read(source: SourceFile) -> Contents:
    """Read every tensor on access. Raise CheckpointError if a file is damaged, or a process's part of the weights."""
    path = source.path
    if path.name == INDEX or (path / INDEX).is_file():
        return _read_index(path if path.name == INDEX else path / INDEX)
    if (path / WEIGHTS).is_file():
        return torch_file.read(open_source(path / WEIGHTS))
    notes: tuple[str, ...] = ()
    if (path / LATEST).is_file():
        step = read_text(path / LATEST, SETTINGS).strip()
        if Path(step).name != step or not (path / step).is_dir():
            raise CheckpointError(f"its file {LATEST} names {step[:50]!r}, which is not a folder in it")
        path, notes = path / step, (f"took {step}, the step that {LATEST} names",)
    parts = sorted(part.name for part in path.glob(PARTS))
    if parts != [STATES]:
        raise CheckpointError(
            f"{len(parts)} files of processes, {', '.join(parts[:2])}, ..., each with a part of the weights. "
            f"Run DeepSpeed's `python zero_to_fp32.py . {WEIGHTS}` in the folder"
        )
    contents = torch_file.read(open_source(path / STATES))
    contents.notes = (*notes, *contents.notes)
    return contents


def _read_index(path: Path) -> Contents:
    """Return the tensors of all files of an index."""
    try:
        index = parse_json(read_regular(path, INDEX_LIMIT))["weight_map"]
        names = sorted({str(name) for name in index.values()})
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointError(f"{path.name} is damaged: {error}") from None
    if any(Path(name).name != name for name in names):
        raise CheckpointError(f"{path.name} names a file outside of its folder")
    files: dict[str, Contents] = {}
    for name in names:
        try:
            files[name] = torch_file.read(open_source(path.parent / name))
        except CheckpointError as error:
            raise CheckpointError(f"{name}: {str(error).removeprefix(f'{path.parent / name}: ')}") from None
    place: dict[str, str] = {}
    headers = {}
    for key, name in index.items():
        with contextlib.suppress(KeyError):
            headers[key], place[key] = headers_of(files[name].tensors)[key], name
    if len(headers) < len(index):
        missing = next(key for key in index if key not in headers)
        raise CheckpointError(f"{index[missing]} has no tensor {missing}, which {path.name} names")
    return Contents(tensors=Unread(headers, lambda key: files[place[key]].tensors[key]))

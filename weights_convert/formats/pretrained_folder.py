"""Read folders in the layout of the Hugging Face hub. A network's `save_pretrained` writes them."""

from __future__ import annotations

from danet_common.checkpoint.pretrained import open_folder, weights_file
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats import safetensors_file

NAME = "pretrained folder"


def recognises(source: SourceFile) -> bool:
    """True for a directory with weights under the hub's names."""
    return source.is_folder and weights_file(source.path) is not None


def read(source: SourceFile) -> Contents:
    """Read tensors and config. Raise CheckpointError if a file is damaged or the config contradicts it."""
    files = open_folder(source.path)
    contents = safetensors_file.contents_of(files.stored)
    if files.error is not None:
        if contents.manifest is not None:
            raise files.error
        contents.notes = (f"left out: {files.error}",)  # the config is another network's; a schema may still fit
    elif files.config is not None and contents.manifest is None:
        contents.config = files.config.to_dict()
    return contents

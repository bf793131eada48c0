"""Read the folder of a training run: its best weights, or its last ones if there are no best."""

from __future__ import annotations

from danet_common.checkpoint.lazy import open_stored
from danet_common.checkpoint.run_weights import BEST, is_run, weights_of_run
from danet_common.training.training_checkpoint import EMA_PREFIX
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats import safetensors_file

NAME = "run folder"


def recognises(source: SourceFile) -> bool:
    """True for a directory with the files of a training run."""
    return source.is_folder and is_run(source.path)


def read(source: SourceFile) -> Contents:
    """Read the weights of the run. Raise CheckpointError if there are none, or if they are damaged."""
    weights = weights_of_run(source.path)
    contents = safetensors_file.contents_of(open_stored(weights))
    taken = f"a run's folder: took {weights.name}"
    if weights.name != BEST:
        taken += f", as there is no {BEST} yet"
        if any(name.startswith(EMA_PREFIX) for name in contents.extra_tensors):
            taken += "; the weights as they are, not their moving averages"
    contents.notes = (taken, *contents.notes)
    return contents

"""The moving averages that a run of this project keeps beside its weights, in `last.safetensors` and copies of it."""

from __future__ import annotations

from danet_common import Checkpoint, CheckpointError, parameters
from danet_common.training_checkpoint import AVERAGE
from weights_convert.mapping.apply import Log

TRAINING = "training"  # in the source: the state of a run, which averages alone do not go on with


def choose_averages(checkpoint: Checkpoint, key: str | None, log: Log) -> Checkpoint:
    """Return the checkpoint of a canonical file, or with the key "average" that of its moving averages.

    Raises CheckpointError for any other key, and where there are no averages.
    """
    averages = {name: AVERAGE + name for name in checkpoint.tensors if AVERAGE + name in checkpoint.extra_tensors}
    label = AVERAGE.rstrip(".")
    trained = {name for name, parameter in parameters(checkpoint.config).items() if parameter.trainable}
    if key is None:
        if averages:
            log(f"weights: those that were trained; --weights-key {label} takes their moving averages instead")
        return checkpoint
    if key == "." or (key != label and not averages):
        if key == ".":
            return checkpoint
        raise CheckpointError(f"has no weights at {key!r}; it has one set, which is taken without --weights-key")
    if key != label:
        raise CheckpointError(f"has no weights at {key!r}; it has the trained ones and {label}")
    if averages.keys() != trained:
        raise CheckpointError(f"has no moving averages of {len(trained - averages.keys())} of its parameters")
    log(f"weights: taken from {label}, their moving averages; left out: the weights as they were trained, and the run")
    tensors = {
        name: checkpoint.extra_tensors[averages[name]] if name in averages else array
        for name, array in checkpoint.tensors.items()
    }
    source = {name: value for name, value in checkpoint.source.items() if name != TRAINING}
    return Checkpoint(checkpoint.config, tensors, source={**source, "weights_key": label})

"""Moving averages of the weights (EMA) that a training run stores in `last.safetensors`."""

from __future__ import annotations

from danet_common import Checkpoint, CheckpointError, parameters
from danet_common.training.training_checkpoint import EMA_PREFIX
from weights_convert.mapping.apply import Log

TRAINING = "training"  # key of the source: state of a run, which averages alone cannot resume


def choose_averages(checkpoint: Checkpoint, key: str | None, log: Log) -> Checkpoint:
    """Return the checkpoint, or with the key "average" its moving averages.

    Raise CheckpointError for any other key, or if the file has no averages.
    """
    averages = {name: EMA_PREFIX + name for name in checkpoint.tensors if EMA_PREFIX + name in checkpoint.extra_tensors}
    label = EMA_PREFIX.rstrip(".")
    trained = {name for name, parameter in parameters(checkpoint.config).items() if parameter.trainable}
    if key in (None, "."):
        if key is None and averages:
            log(f"weights: those that were trained; --weights-key {label} takes their moving averages instead")
        return checkpoint
    if key != label:
        known = f"the trained ones and {label}" if averages else "one set, which is taken without --weights-key"
        raise CheckpointError(f"has no weights at {key!r}; it has {known}")
    if averages.keys() != trained:
        raise CheckpointError(f"has no moving averages of {len(trained - averages.keys())} of its parameters")
    log(f"weights: taken from {label}, their moving averages; left out: the weights as they were trained, and the run")
    tensors = {
        name: checkpoint.extra_tensors[averages[name]] if name in averages else array
        for name, array in checkpoint.tensors.items()
    }
    source = {name: value for name, value in checkpoint.source.items() if name != TRAINING}
    return Checkpoint(checkpoint.config, tensors, source={**source, "weights_key": label})

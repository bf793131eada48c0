"""The first weights of a run that fine-tunes a trained network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError
from danet_common.config import DANetConfig
from danet_common.config.parameters import parameters
from danet_common.numerics.initialisation import Scheme, initial_tensor


def fine_tuned(
    checkpoint: Checkpoint, config: DANetConfig, seed: int, log: Callable[[str], None], scheme: Scheme = "pytorch"
) -> dict[str, np.ndarray]:
    """Return the tensors of a network of `config`: the checkpoint's where it has them, drawn elsewhere.

    Classifiers of another number of classes are drawn. `log` gets a line about each part that is not taken over.
    Raises CheckpointError where another part of the two networks differs in shape.
    """
    table, old = parameters(config), checkpoint.tensors
    differing = [name for name in table if name in old and old[name].shape != table[name].shape]
    for name in differing:
        if "classifier." not in name:
            raise CheckpointError(
                f"the network asked for is not that of the checkpoint: {name} is "
                f"{list(table[name].shape)}, there {list(old[name].shape)}"
            )
    absent = [name for name in table if name not in old]
    if differing:
        classes = f"the checkpoint has {checkpoint.config.num_classes} classes, the data {config.num_classes}"
        log(f"classifiers are drawn anew: {classes}")
    elif None is not checkpoint.config.class_names != config.class_names:
        log("classifiers are kept although the checkpoint's classes have other names")
    for verb, names in (("drawn anew", absent), ("left out", [name for name in old if name not in table])):
        if names:
            parts = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
            log(f"{verb}: {', '.join(parts)}")
    drawn = {*differing, *absent}
    return {name: initial_tensor(name, table, seed, scheme) if name in drawn else old[name] for name in table}

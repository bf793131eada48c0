"""The weights that a run begins with."""

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
    """The tensors of a network of `config`, from a trained one where both have them and drawn anew elsewhere.

    Classifiers are drawn anew where their number of classes differs. `log` is called with a line about each part that
    is not taken over. Raises CheckpointError where another part of the two networks is of another shape.
    """
    wanted, found = parameters(config), checkpoint.tensors
    differing = [name for name in wanted if name in found and found[name].shape != wanted[name].shape]
    faults = [name for name in differing if "classifier." not in name]
    if faults:
        raise CheckpointError(
            f"the network asked for is not that of the checkpoint: {faults[0]} is "
            f"{list(wanted[faults[0]].shape)}, there {list(found[faults[0]].shape)}"
        )
    absent = [name for name in wanted if name not in found]
    before, classes = checkpoint.config.num_classes, config.num_classes
    if differing:
        log(f"classifiers are drawn anew: the checkpoint has {before} classes, the data {classes}")
    elif None is not checkpoint.config.class_names != config.class_names:
        log("classifiers are kept although the checkpoint's classes have other names")
    for verb, names in (("drawn anew", absent), ("left out", [name for name in found if name not in wanted])):
        if names:
            log(f"{verb}: {', '.join(modules(names))}")
    anew = {*differing, *absent}
    return {name: initial_tensor(name, wanted, seed, scheme) if name in anew else found[name] for name in wanted}


def modules(names: list[str]) -> list[str]:
    """The parts of the network that tensors belong to, by the first two words of their names."""
    return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))

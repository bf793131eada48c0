"""A run as a file that any of the three frameworks resumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from danet_common.checkpoint import Checkpoint
from danet_common.checkpoint.parameter_layouts import from_channels_last, to_channels_last
from danet_common.config.layer_names import DEFAULT_LAYERS
from danet_common.training.sharing import check_shares, resolve_remat
from danet_common.training.training_checkpoint import TrainingCheckpoint
from danet_tf.checkpoint import from_checkpoint
from danet_tf.parameters import get_tensors
from danet_tf.training.distributed import Distributed
from danet_tf.training.optimizers import get_slots, set_slots, trainable_leaves
from danet_tf.training.step import TrainState, create_state


def capture(state: TrainState, data: Mapping[str, Any] | None = None) -> TrainingCheckpoint:
    """Return a run as a checkpoint; `data` (JSON-ready) is its place in the data. Every process must call this."""
    slots = get_slots(state.model, state.optimizer, state.recipe)
    if state.average is not None:
        for parameter, _ in trainable_leaves(state.model):
            slots[f"average.{parameter.name}"] = from_channels_last(
                parameter, np.asarray(state.distributed.local(state.average[parameter.name]))
            )
    tensors, source = get_tensors(state.model), {"backend": "tf"}
    return TrainingCheckpoint(state.model.config, state.recipe, state.step, tensors, slots, data or {}, source)


def restore(
    training: TrainingCheckpoint,
    distributed: Distributed | None = None,
    dtype: str | None = None,
    pixels: int | None = None,
) -> TrainState:
    """Return the state of a run to resume, on the devices of `distributed`; `dtype` is the recipe's if not given.

    `pixels` of a global batch decide about activation checkpointing where the recipe does not; without them a network
    keeps its activations. Raises ValueError where the batch cannot be shared equally.
    """
    distributed = distributed or Distributed()
    check_shares(training.recipe, distributed.device_count)
    network = Checkpoint(training.config, training.tensors)
    layers = "remat" if resolve_remat(training.recipe, pixels, distributed.device_count) else DEFAULT_LAYERS
    with distributed.scope():  # which mirrors variables
        model = from_checkpoint(network, dtype or training.recipe.dtype, layers)
        state = create_state(model, training.recipe, distributed)
    state.optimizer = set_slots(state.model, state.optimizer, training.recipe, training.slots, training.step)
    if state.average is not None:
        for parameter, leaf in trainable_leaves(state.model):
            array = to_channels_last(parameter, training.slots[f"average.{parameter.name}"])
            state.average[parameter.name] = ops.convert_to_tensor(array, leaf.dtype)
    state.step = training.step
    return state

"""Means and gathers over the devices of a training run, each of which holds its own part of a batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import KerasTensor as Tensor


def all_reduce_mean(x: Any) -> Any:
    """Return the mean of all devices' tensors of one shape; gradients are those of the sum of the devices' losses."""
    return tf.distribute.get_replica_context().all_reduce("MEAN", x) if tf.distribute.has_strategy() else x


def all_gather(x: Tensor) -> Tensor:
    """Return all devices' tensors of one shape, joined along the first axis; without gradients."""
    return tf.distribute.get_replica_context().all_gather(x, 0) if tf.distribute.has_strategy() else x

"""Functions as graphs, which Keras itself makes of its own training and prediction loops alone."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import KerasTensor as Tensor


def as_graph(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function as a graph, where Keras is on TensorFlow: at most a few, for pictures of all sizes."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)

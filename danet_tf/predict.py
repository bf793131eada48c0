"""From a photograph to the class of every pixel."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from jaxtyping import Float, Float32, UInt, UInt8
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.image import label_dtype, normalise
from danet_tf.model import DANet


def predict(model: DANet, image: UInt8[np.ndarray, "h w 3"]) -> UInt[np.ndarray, "h w"]:
    """The class with the largest fused logit at every pixel of an RGB image, at its full size.

    uint8 for up to 256 classes.
    """
    x = ops.convert_to_tensor(normalise(image, model.config)[None])  # (1, H, W, C)
    labels = ops.argmax(fused_logits(model, x), axis=-1)[0]
    return ops.convert_to_numpy(labels).astype(label_dtype(model.config))


def infer(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """The fused logits of normalised pictures, at their size, in at least float32."""
    return ops.convert_to_numpy(fused_logits(model, ops.convert_to_tensor(pictures)))


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """As a graph, where Keras is on TensorFlow: at most a few, for pictures of all sizes."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)


@compiled
def fused_logits(model: DANet, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w classes"]:
    """The logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]

"""From a photograph to the class of every pixel."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Float32, UInt, UInt8

from danet_common.evaluation import Protocol, predict_labels
from danet_jax.accelerated.programs import keep_few_programs
from danet_jax.model import DANet


def predict(
    model: DANet, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol | str = "auto"
) -> UInt[np.ndarray, "h w"]:
    """The class of every pixel of an RGB image, at its full size, by the procedure of `danet predict`.

    protocol  a name of `danet_common.evaluation.PROTOCOLS`, or a Protocol. "auto" cuts what is larger than 1024x1024
              pixels (at output stride 8) into windows that overlap by a third and averages their logits

    uint8 for up to 256 classes. Raises ValueError for an unknown protocol, and for what is no RGB image.
    """
    return predict_labels(partial(predict_logits, model), image, protocol, model.config)


def predict_logits(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """The fused logits of normalised pictures, at their size, in at least float32. Puts the model in inference mode."""
    model.eval()
    keep_few_programs(fused_logits, pictures.shape)
    return np.asarray(fused_logits(model, jnp.asarray(pictures)))


@jax.jit  # compiled once per image size; nothing in the network changes, so nothing of it comes back
def fused_logits(model: DANet, x: Float[Array, "b h w c"]) -> Float[Array, "b h w classes"]:
    """The logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]

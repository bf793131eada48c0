"""From a photograph to the class of every pixel."""

from __future__ import annotations

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Float32

from danet_common.evaluation.prediction import predict_function
from danet_jax.accelerated.programs import keep_few_programs
from danet_jax.model import DANet
from danet_jax.parameters import network_in


def predict_logits(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """Return fused logits of normalised pictures, at their size, in at least float32. Sets the model to inference."""
    model.eval()
    keep_few_programs(fused_logits, pictures.shape)
    return np.asarray(fused_logits(model, jnp.asarray(pictures)))


predict = predict_function(predict_logits, network_in)


@jax.jit  # compiled once per image size; nothing in the network changes, so nothing of it comes back
def fused_logits(model: DANet, x: Float[Array, "b h w c"]) -> Float[Array, "b h w classes"]:
    """Return the logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]

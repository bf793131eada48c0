"""From a photograph to the class of every pixel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.evaluation.prediction import predict_function
from danet_tf.accelerated.graphs import as_graph
from danet_tf.model import DANet
from danet_tf.parameters import network_in


def predict_logits(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """Return fused logits of normalised pictures, at their size, in at least float32."""
    return ops.convert_to_numpy(fused_logits(model, ops.convert_to_tensor(pictures)))


predict = predict_function(predict_logits, network_in)


@as_graph
def fused_logits(model: DANet, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w classes"]:
    """Return the logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]

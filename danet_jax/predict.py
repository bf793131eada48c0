"""From a photograph to the class of every pixel."""

from __future__ import annotations

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Float32, UInt, UInt8

from danet_common.image import label_dtype, normalise
from danet_jax.model import DANet

PROGRAMS = 8  # that are kept, each for one size of pictures

_compiled_for: set[tuple[int, ...]] = set()


def predict(model: DANet, image: UInt8[np.ndarray, "h w 3"]) -> UInt[np.ndarray, "h w"]:
    """The class with the largest fused logit at every pixel of an RGB image, at its full size.

    The model is in inference mode, as `load` returns it. uint8 for up to 256 classes.
    """
    x = jnp.asarray(normalise(image, model.config)[None])  # (1, H, W, C)
    labels = jnp.argmax(fused_logits(model, x), axis=-1)[0]
    return np.asarray(labels).astype(label_dtype(model.config))


def infer(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """The fused logits of normalised pictures, at their size, in at least float32. Puts the model in inference mode."""
    model.eval()
    keep_few_programs(pictures.shape)
    return np.asarray(fused_logits(model, jnp.asarray(pictures)))


@jax.jit  # compiled once per image size; nothing in the network changes, so nothing of it comes back
def fused_logits(model: DANet, x: Float[Array, "b h w c"]) -> Float[Array, "b h w classes"]:
    """The logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]


def keep_few_programs(shape: tuple[int, ...]) -> None:
    """Forget the compiled programs, each 10 MB or more, when pictures of PROGRAMS other sizes have come."""
    if shape not in _compiled_for and len(_compiled_for) == PROGRAMS:
        fused_logits.clear_cache()  # type: ignore[attr-defined]
        _compiled_for.clear()
    _compiled_for.add(shape)

"""From a photograph to the class of every pixel."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Float32, UInt, UInt8

from danet_common.evaluation import Protocol, predict_labels
from danet_jax.model import DANet

PROGRAMS = 8  # kept at most, one per picture size: each has 10 MB or more
TRACES = 64  # sizes after which JAX's own caches are cleared: a size leaves 2 MB of traces that outlive its program

_compiled_for: set[tuple[int, ...]] = set()
_traced_for: set[tuple[int, ...]] = set()


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
    keep_few_programs(pictures.shape)
    return np.asarray(fused_logits(model, jnp.asarray(pictures)))


@jax.jit  # compiled once per image size; nothing in the network changes, so nothing of it comes back
def fused_logits(model: DANet, x: Float[Array, "b h w c"]) -> Float[Array, "b h w classes"]:
    """The logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]


def keep_few_programs(shape: tuple[int, ...]) -> None:
    """Drop compiled programs when pictures of PROGRAMS other sizes have come, and all of JAX's caches after TRACES.

    Clearing all caches makes the caller's own functions compile again, so it happens less often.
    """
    if shape not in _traced_for and len(_traced_for) == TRACES:
        jax.clear_caches()
        _traced_for.clear()
        _compiled_for.clear()
    if shape not in _compiled_for and len(_compiled_for) == PROGRAMS:
        fused_logits.clear_cache()  # type: ignore[attr-defined]
        _compiled_for.clear()
    _traced_for.add(shape)
    _compiled_for.add(shape)

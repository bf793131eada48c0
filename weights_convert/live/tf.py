"""Load live Keras networks. Tensors are always copied: a Keras variable owns its memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from danet_common.checkpoint.parameter_layouts import to_channels_last
from weights_convert.casting import fit
from weights_convert.live.source import Source, as_checkpoint, kernel_dtype
from weights_convert.mapping.apply import Log

if TYPE_CHECKING:
    from danet_tf import DANet


def to_keras(
    source: Source,
    *,
    dtype: str | None = None,
    device: str | None = None,
    weights_key: str | None = None,
    report: Log | None = None,
) -> DANet:
    """Return a Keras network from a checkpoint, a path or a live network.

    device  name of `keras.device`, such as "gpu:0"; None: the device of the backend, or of the
            `tf.distribute` strategy around the call. Variables are filled one after another

    `dtype`, `weights_key` and `report` are those of `to_torch`. Raise CheckpointError if the source is incomplete.
    """
    import keras

    import danet_tf
    from danet_tf.parameters import named_parameters, set_leaf

    checkpoint = as_checkpoint(source, weights_key, report)
    with nullcontext() if device is None else keras.device(device):
        model = danet_tf.DANet(checkpoint.config, dtype=dtype or kernel_dtype(checkpoint), seed=None)
        for parameter, leaf in named_parameters(model):
            array = to_channels_last(parameter, checkpoint.tensors[parameter.name])
            set_leaf(leaf, fit(parameter.name, array, leaf.dtype))
    return model

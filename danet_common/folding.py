"""BatchNorm folded into the convolution before it: the same network in inference, with fewer passes over memory."""

from __future__ import annotations

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError
from danet_common.numerics import Numerics
from danet_common.parameters import parameters


def folded_tensors(checkpoint: Checkpoint, numerics: Numerics) -> dict[str, np.ndarray]:
    """The tensors of a network without BatchNorm, by canonical name: each convolution has a bias.

    weight * factor, shift + (bias - mean) * factor,   factor = scale / sqrt(variance + epsilon)

    Computed in float64 and kept in the dtype of BatchNorm, at least float32. A convolution with neither BatchNorm nor
    bias has a bias of zeros.
    """
    tensors, folded, convolution = checkpoint.tensors, {}, ""
    for parameter in parameters(checkpoint.config).values():
        module = parameter.name.rpartition(".")[0]
        if parameter.kind == "kernel":
            convolution = module  # a BatchNorm follows its convolution in the table
            folded[f"{convolution}.bias"] = np.zeros(parameter.shape[0], numerics.wide)  # unless the next say otherwise
        if not parameter.is_norm:
            folded[parameter.name] = tensors[parameter.name]
        elif parameter.kind == "scale":
            kernel = tensors[f"{convolution}.weight"].astype(np.float64)
            scale, shift, mean, variance = (
                tensors[f"{module}.{leaf}"].astype(np.float64)
                for leaf in ("weight", "bias", "running_mean", "running_var")
            )
            factor = scale / np.sqrt(variance + checkpoint.config.batch_norm_epsilon)
            folded[f"{convolution}.weight"] = (kernel * factor[:, None, None, None]).astype(numerics.wide)
            bias = folded[f"{convolution}.bias"].astype(np.float64)
            folded[f"{convolution}.bias"] = (shift + (bias - mean) * factor).astype(numerics.wide)
    return folded


def require_unfolded(numerics: Numerics) -> None:
    """Raise CheckpointError for a folded network, whose BatchNorm no file could give back."""
    if numerics.folded:
        raise CheckpointError("this network's BatchNorm is folded and cannot be written: load it with folded=False")

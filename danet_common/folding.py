"""BatchNorm folded into the convolution before it: the same network in inference, with fewer passes over memory."""

from __future__ import annotations

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError
from danet_common.numerics import Numerics
from danet_common.parameters import parameters
from danet_common.reading import read_ahead


def folded_tensors(checkpoint: Checkpoint, numerics: Numerics) -> dict[str, np.ndarray]:
    """The tensors of a network without BatchNorm, by canonical name: each convolution has a bias.

    weight * factor, shift + (bias - mean) * factor,   factor = scale / sqrt(variance + epsilon)

    Computed in float64 and kept in the dtype of BatchNorm, at least float32. A convolution with neither BatchNorm nor
    bias has a bias of zeros.
    """
    table, folded, norm, convolution = (
        parameters(checkpoint.config),
        dict[str, np.ndarray](),
        dict[str, np.ndarray](),
        "",
    )
    for name, tensor in read_ahead(checkpoint.tensors, table):
        parameter = table[name]
        if parameter.kind == "kernel":
            convolution = name.rpartition(".")[0]  # a BatchNorm follows its convolution in the table
            folded[f"{convolution}.bias"] = np.zeros(parameter.shape[0], numerics.wide)  # unless the next say otherwise
        if not parameter.is_norm:
            folded[name] = tensor
            continue
        norm[parameter.kind] = tensor.astype(np.float64)
        if parameter.kind == "variance":  # the last of the four
            factor = norm["scale"] / np.sqrt(norm["variance"] + checkpoint.config.batch_norm_epsilon)
            folded[f"{convolution}.weight"] = scaled(folded[f"{convolution}.weight"], factor, numerics.wide)
            bias = folded[f"{convolution}.bias"].astype(np.float64)
            folded[f"{convolution}.bias"] = (norm["shift"] + (bias - norm["mean"]) * factor).astype(numerics.wide)
    return folded


def scaled(kernel: np.ndarray, factor: np.ndarray, dtype: str) -> np.ndarray:
    """A kernel times a factor for each output channel, in float64; some channels at a time, which stay in the cache."""
    product = np.empty(kernel.shape, dtype)
    step = max(1, (1 << 16) // kernel[0].size)
    for first in range(0, len(kernel), step):
        some = slice(first, first + step)
        product[some] = kernel[some].astype(np.float64) * factor[some, None, None, None]
    return product


def require_unfolded(numerics: Numerics) -> None:
    """Raise CheckpointError for a folded network, whose BatchNorm no file could give back."""
    if numerics.folded:
        raise CheckpointError("this network's BatchNorm is folded and cannot be written: load it with folded=False")

"""From a mismatch to its likely cause: which known mistake, made on the expected arrays, gives the actual one?

Each function below is one family of mistakes. It sees the first array that does not match; everything before it
agrees. It returns a sentence, or None where none of its mistakes gives the actual array.
"""

from __future__ import annotations

import math

import numpy as np

from shared_tests.parity.diagnosis.context import gate, gated, gathering_map
from shared_tests.parity.diagnosis.head import attention, channel_energy, channel_map, position_map, upsampling
from shared_tests.parity.diagnosis.mismatch import Array, Mismatch

# The text where no mistake on the arrays alone gives the actual one.
PLACES = {
    "stem": "mismatch in the first stage: input preprocessing (channel order, mean, std), or the first "
    "convolution's kernel or padding",
    "layer1": "agrees up to the stem, mismatch in layer1: padding of the max pool (one pixel on every side; 'same' "
    "pads even sizes below and right only), or a block of layer1",
    "layer2": "mismatch in layer2: stride (on the 3x3 in a bottleneck), its padding, the shortcut, or avg_down",
    "layer3": "mismatch in layer3: dilation (the first block uses the layer before's if contract_dilation), stride "
    "or shortcut (avg_down, avg_down_dilated)",
    "layer4": "mismatch in layer4: dilation (multi_grid, contract_dilation), stride or shortcut (avg_down, "
    "avg_down_dilated)",
    "cbam_channel_gate": "mismatch in CBAM's channel gate: mean and maximum over positions, one perceptron for both",
    "cbam_spatial_gate": "mismatch in CBAM's spatial gate: mean, then maximum, over the weighed channels; 7x7",
    "squeeze_excitation_gate": "mismatch in the squeeze, a mean over the positions, or its two convolutions",
    "bam_channel": "mismatch in BAM's channel branch: the mean over the positions, two convolutions, BatchNorm",
    "bam_spatial": "mismatch in BAM's spatial branch: 1x1, twice 3x3 dilated by 4, 1x1, BatchNorm",
    "selective_kernel_near": "mismatch in the near field: 3x3, BatchNorm, ReLU",
    "selective_kernel_far": "mismatch in the far field: 3x3 dilated by 2, BatchNorm, ReLU",
    "non_local_map": "mismatch in the non-local map: its form, unscaled energies, division by the keys, pooling",
    "non_local_attention": "mismatch in the block's output: its last convolution, BatchNorm, or x that is not added",
    "self_attention_attention": "mismatch in what each position gathers: the last convolution, gamma, or x that is not "
    "added",
    "compact_position_centres": "mismatch in the centres: 1, 2, 3 and 6 windows, from floor to ceiling, each pool "
    "with a convolution of its own",
    "decoder_gate": "mismatch in the decoder's gate: layer1's features first, then the branches' at their size",
    "decoder_joined": "mismatch where the decoder joins: its gain, the gate, or the grid of the enlarging",
    "fused_logits": "mismatch in the fused classifier: the sum of the branches, its kernel, or dropout that is on",
}

NORMALISED = ("stem", "_in", "_out", "layer1", "layer2", "layer3", "layer4")  # taps that end in BatchNorm and ReLU

PRECISIONS = (
    (16, "float32 arithmetic somewhere"),
    (9, "TF32 or float16 arithmetic"),
    (5, "bfloat16 arithmetic"),
)


def likely_cause(mismatch: Mismatch) -> str:
    """Return one sentence: the most likely cause of the mismatch."""
    with np.errstate(invalid="ignore", over="ignore"):  # actual arrays may hold NaN and infinity
        for family in FAMILIES:
            text = family(mismatch)
            if text is not None:
                return text
    return PLACES.get(mismatch.name, f"{mismatch.name} does not match, and no known mistake reproduces it")


def absence(mismatch: Mismatch) -> str | None:
    """Arrays that only one side has."""
    if mismatch.name not in mismatch.all_actual:
        return f"{mismatch.name} is missing: another config, or the tap was not asked for"
    if mismatch.name not in mismatch.all_expected:
        return f"{mismatch.name} is not expected: the actual config has a part that the expected one lacks"
    return None


def layout(mismatch: Mismatch) -> str | None:
    """Permuted axes, and the same memory read in another order."""
    expected, actual = mismatch.expected, mismatch.actual
    if expected.ndim == 4:
        if mismatch.explains(expected.transpose(0, 2, 3, 1)):
            return "layout: actual is N,H,W,C, expected N,C,H,W"
        if mismatch.explains(expected.transpose(0, 1, 3, 2)):
            return "layout: rows and columns are transposed"
        if actual.shape == expected.shape and mismatch.explains(expected.transpose(0, 2, 3, 1).reshape(expected.shape)):
            return "layout: N,H,W,C was reshaped to N,C,H,W; it has to be transposed"
    if expected.ndim == 3 and mismatch.explains(expected.transpose(0, 2, 1)):
        return f"layout: {mismatch.name} is transposed: its rows, which sum to 1, are the actual columns"
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1 and mismatch.explains(np.flip(expected, axis)):
            return f"layout: axis {axis} of {list(expected.shape)} runs backwards"
    return None


def shape(mismatch: Mismatch) -> str | None:
    """Two shapes."""
    expected_shape, actual_shape = mismatch.expected.shape, mismatch.actual.shape
    if expected_shape == actual_shape:
        return None
    says = f"shape {list(actual_shape)}, expected {list(expected_shape)}"
    if len(expected_shape) != len(actual_shape):
        return f"{says}: an axis is missing or too many"
    if expected_shape[0] != actual_shape[0]:
        return f"{says}: another batch size"
    if len(expected_shape) == 4 and expected_shape[1] == actual_shape[1]:
        if all(abs(a - b) <= 1 for a, b in zip(expected_shape, actual_shape, strict=True)):
            return f"{says}: sizes off by one: padding, or the ceil mode of a pool"
        factors = [max(a, b) / min(a, b) for a, b in zip(expected_shape[2:], actual_shape[2:], strict=True)]
        if all(1.5 < factor < 5 for factor in factors):
            return f"{says}: sizes off by a factor: a stride, output_stride, or an upsampling that is missing"
        return f"{says}: another input or upsampling size"
    return f"{says}: channel counts or another config"


def overflow(mismatch: Mismatch) -> str | None:
    """NaN and infinity where the expected array is finite."""
    stored = mismatch.all_actual[mismatch.name]
    if math.isfinite(mismatch.error):
        return None
    nonfinite = int(np.count_nonzero(~np.isfinite(mismatch.actual)))
    if not nonfinite:
        return "NaN or infinity expected, but the actual array has numbers"
    says = f"{nonfinite} of {stored.size} values are NaN or infinite"
    before = mismatch.taps("channel_in") if mismatch.name == "channel_map" else None
    if before and channel_energy(before[0]).max() > np.finfo(np.float16).max:
        return f"{says}: channel energies pass 65504, float16's largest; compute them in float32"
    return f"{says}: an overflow in {stored.dtype.name}, a division by zero, or weights that hold them"


def exchange(mismatch: Mismatch) -> str | None:
    """The actual array is another of the expected ones."""
    for other, array in mismatch.all_expected.items():
        if other != mismatch.name and array.shape == mismatch.actual.shape and mismatch.explains(array):
            return (
                f"{mismatch.name} is what {other} should be: their weights are exchanged, or a step between is missing"
            )
    return None


def bias(mismatch: Mismatch) -> str | None:
    """One offset per channel."""
    if mismatch.expected.ndim != 4 or math.prod(mismatch.expected.shape[2:]) == 1:
        return None
    offset = (mismatch.actual - mismatch.expected).mean(axis=(0, 2, 3), keepdims=True)
    if mismatch.explains(mismatch.expected + offset):
        return f"bias: {mismatch.name} is off by one constant per channel, up to {np.abs(offset).max():.3g}"
    return None


def batch_norm(mismatch: Mismatch) -> str | None:
    """One factor and offset per channel, where both are past the ReLU."""
    expected, actual = mismatch.expected, mismatch.actual
    if not mismatch.name.endswith(NORMALISED) or expected.ndim != 4:
        return None
    factors, residual = _affine_fit(expected, actual)
    if residual > mismatch.error / 2:  # the fit explains too little
        return None
    if np.all(np.abs(factors - 1) < 0.02) and (np.all(factors <= 1) or np.all(factors >= 1)):
        return (
            f"BatchNorm epsilon: {mismatch.name} is scaled by {factors.min():.6f} to {factors.max():.6f}, "
            "the channels of least variance most"
        )
    return (
        f"BatchNorm: every channel of {mismatch.name} has a factor ({factors.min():.3g} to {factors.max():.3g}) and "
        "an offset of its own: running statistics or affine, or the batch's statistics in inference"
    )


def _affine_fit(expected: Array, actual: Array) -> tuple[Array, float]:
    """Each channel's factor of the line from expected to actual, and the largest error that is left, relative."""
    factors, residuals = [], [np.inf]
    for one, other in zip(expected.swapaxes(0, 1), actual.swapaxes(0, 1), strict=True):
        active = (one > 0) & (other > 0)
        if np.count_nonzero(active) < 8:
            continue
        x, y = one[active], other[active]
        centred = x - x.mean()
        factor = np.vdot(centred, y) / max(np.vdot(centred, centred), np.finfo(float).tiny)
        factors.append(factor)
        residuals.append(np.abs(y - y.mean() - factor * centred).max())
    left = max(residuals[1:], default=np.inf) / max(np.abs(expected).max(), np.finfo(float).tiny)
    return np.array(factors or [1.0]), float(left)


def borders(mismatch: Mismatch) -> str | None:
    """Errors at the edges, none inside."""
    expected, actual = mismatch.expected, mismatch.actual
    if expected.ndim != 4 or min(expected.shape[2:]) < 3:
        return None
    wrong = (np.abs(actual - expected) > mismatch.tolerance * np.abs(expected).max()).any(axis=(0, 1))
    if not wrong.any():
        return None
    rows, columns = np.nonzero(wrong)
    height, width = wrong.shape
    below, beside = height - 1 - rows, width - 1 - columns
    depth = np.minimum(below, beside).max() + 1
    if depth < min(height, width) / 4:
        return (
            f"{mismatch.name} is wrong only within {depth} of the bottom and right border: ceil mode of a pool, "
            "what an average pool divides by there, or padding on one side only"
        )
    depth = np.minimum.reduce([rows, columns, below, beside]).max() + 1
    if depth < min(height, width) / 4:
        return f"padding: {mismatch.name} is wrong only within {depth} of the border"
    return None


def rounding(mismatch: Mismatch) -> str | None:
    """Small errors everywhere, of no shape: arithmetic of fewer bits."""
    error = mismatch.actual - mismatch.expected
    if not 0 < mismatch.error < 2**-5 or abs(error.mean()) > np.abs(error).mean() / 2:
        return None
    bits = -math.log2(mismatch.error)
    width = next((text for least, text in PRECISIONS if bits >= least), None)
    return f"rounding: errors without a pattern, {bits:.0f} bits agree: {width}" if width else None


FAMILIES = (
    absence,
    layout,
    shape,
    overflow,
    upsampling,
    position_map,
    channel_map,
    attention,
    gate,
    gated,
    gathering_map,
    exchange,
    bias,
    batch_norm,
    borders,
    rounding,
)

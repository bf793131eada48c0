"""From a departure to its likely cause, by trying: does a known mistake, made on the truth, give the candidate?

Each function below is one family of mistakes. It sees the arrays where the departure begins, everything
before them agreeing, and returns a sentence, or None where its mistakes do not give what was found.
"""

from __future__ import annotations

import math

import numpy as np

from shared_tests.parity.diagnosis.context import gate, gated, gathering_map
from shared_tests.parity.diagnosis.head import attention, channel_energy, channel_map, position_map, upsampling
from shared_tests.parity.diagnosis.mismatch import Array, Evidence

# What is left to suspect when no mistake on the arrays alone reproduces the candidate.
PLACES = {
    "stem": "departs from the first stage: input preprocessing (channel order, mean, std), or the first "
    "convolution's kernel or padding",
    "layer1": "agrees up to the stem but departs in layer1: padding of the max pool (one pixel on every side; 'same' "
    "pads even sizes below and right only), or a block of layer1",
    "layer2": "departs in layer2: stride (on the 3x3 in a bottleneck), its padding, the shortcut, or avg_down",
    "layer3": "departs in layer3: dilation (the first block uses the layer before's if contract_dilation), stride "
    "or shortcut",
    "layer4": "departs in layer4: dilation (multi_grid, contract_dilation), stride or shortcut",
    "cbam_channel_gate": "departs in CBAM's channel gate: mean and maximum over the positions, one perceptron for both",
    "cbam_spatial_gate": "departs in CBAM's spatial gate: mean, then maximum, over the channels already weighed; 7x7",
    "squeeze_excitation_gate": "departs in the squeeze, a mean over the positions, or its two convolutions",
    "bam_channel": "departs in BAM's channel branch: the mean over the positions, two convolutions, BatchNorm",
    "bam_spatial": "departs in BAM's spatial branch: 1x1, twice 3x3 dilated by 4, 1x1, BatchNorm",
    "selective_kernel_near": "departs in the near field: 3x3, BatchNorm, ReLU",
    "selective_kernel_far": "departs in the far field: 3x3 dilated by 2, BatchNorm, ReLU",
    "non_local_map": "departs in the non-local map: its form, unscaled energies, division by the keys, pooling",
    "non_local_attention": "departs in what the block gathers: its last convolution, BatchNorm, or x that is not added",
    "self_attention_attention": "departs in what each position gathers: the last convolution, gamma, or x that is not "
    "added",
    "compact_position_centres": "departs in the centres: 1, 2, 3 and 6 windows, from floor to ceiling, each pool "
    "with a convolution of its own",
    "decoder_gate": "departs in the decoder's gate: layer1's features first, then the branches' at their size",
    "decoder_joined": "departs where the decoder joins: its gain, the gate, or the grid of the enlarging",
    "fused_logits": "departs in the fused classifier: the sum of the branches, its kernel, or dropout that is on",
}

NORMALISED = ("stem", "_in", "_out", "layer1", "layer2", "layer3", "layer4")  # stages that end in BatchNorm and ReLU

PRECISIONS = (
    (16, "float32 arithmetic somewhere"),
    (9, "TF32 or float16 arithmetic"),
    (5, "bfloat16 arithmetic"),
)


def likely_cause(evidence: Evidence) -> str:
    """One sentence on what most likely made the candidate depart here."""
    with np.errstate(invalid="ignore", over="ignore"):  # candidates may hold NaN and infinity
        for family in FAMILIES:
            text = family(evidence)
            if text is not None:
                return text
    return PLACES.get(evidence.name, f"{evidence.name} departs, and no known mistake reproduces it")


def absence(evidence: Evidence) -> str | None:
    """Arrays that only one side has."""
    if evidence.name not in evidence.candidates:
        return f"the candidate has no {evidence.name}: another config, or the stage was not asked for"
    if evidence.name not in evidence.truths:
        return f"the truth has no {evidence.name}: the candidate's config has a part that the truth's lacks"
    return None


def layout(evidence: Evidence) -> str | None:
    """Permuted axes, and the same memory read in another order."""
    truth, candidate = evidence.truth, evidence.candidate
    if truth.ndim == 4:
        if evidence.explains(truth.transpose(0, 2, 3, 1)):
            return "layout: the candidate is N,H,W,C where N,C,H,W is wanted"
        if evidence.explains(truth.transpose(0, 1, 3, 2)):
            return "layout: rows and columns are transposed"
        if candidate.shape == truth.shape and evidence.explains(truth.transpose(0, 2, 3, 1).reshape(truth.shape)):
            return "layout: N,H,W,C was reshaped to N,C,H,W; it has to be transposed"
    if truth.ndim == 3 and evidence.explains(truth.transpose(0, 2, 1)):
        return f"layout: {evidence.name} is transposed: its rows, which sum to 1, are the candidate's columns"
    for axis in range(truth.ndim):
        if truth.shape[axis] > 1 and evidence.explains(np.flip(truth, axis)):
            return f"layout: axis {axis} of {list(truth.shape)} runs backwards"
    return None


def shape(evidence: Evidence) -> str | None:
    """Two shapes."""
    wanted, found = evidence.truth.shape, evidence.candidate.shape
    if wanted == found:
        return None
    says = f"shape {list(found)} where {list(wanted)} is wanted"
    if len(wanted) != len(found):
        return f"{says}: an axis is missing or too many"
    if wanted[0] != found[0]:
        return f"{says}: another batch size"
    if len(wanted) == 4 and wanted[1] == found[1]:
        if all(abs(a - b) <= 1 for a, b in zip(wanted, found, strict=True)):
            return f"{says}: sizes off by one: padding, or the ceil mode of a pool"
        factors = [max(a, b) / min(a, b) for a, b in zip(wanted[2:], found[2:], strict=True)]
        if all(1.5 < factor < 5 for factor in factors):
            return f"{says}: sizes off by a factor: a stride, output_stride, or an upsampling that is missing"
        return f"{says}: another input or upsampling size"
    return f"{says}: channel counts or another config"


def overflow(evidence: Evidence) -> str | None:
    """NaN and infinity where the truth is finite."""
    stored = evidence.candidates[evidence.name]
    if math.isfinite(evidence.departure):
        return None
    stray = int(np.count_nonzero(~np.isfinite(evidence.candidate)))
    if not stray:
        return "the truth has NaN or infinity where the candidate has numbers"
    says = f"{stray} of {stored.size} values are NaN or infinite"
    before = evidence.stages("channel_in") if evidence.name == "channel_map" else None
    if before and channel_energy(before[0]).max() > np.finfo(np.float16).max:
        return f"{says}: channel energies pass 65504, float16's largest; compute them in float32"
    return f"{says}: an overflow in {stored.dtype.name}, a division by zero, or weights that hold them"


def exchange(evidence: Evidence) -> str | None:
    """The candidate's array is another of the truth's."""
    for other, array in evidence.truths.items():
        if other != evidence.name and array.shape == evidence.candidate.shape and evidence.explains(array):
            return (
                f"{evidence.name} is what {other} should be: their weights are exchanged, or a step between is missing"
            )
    return None


def bias(evidence: Evidence) -> str | None:
    """One offset per channel."""
    if evidence.truth.ndim != 4 or math.prod(evidence.truth.shape[2:]) == 1:
        return None
    offset = (evidence.candidate - evidence.truth).mean(axis=(0, 2, 3), keepdims=True)
    if evidence.explains(evidence.truth + offset):
        return f"bias: {evidence.name} is off by one constant per channel, up to {np.abs(offset).max():.3g}"
    return None


def batch_norm(evidence: Evidence) -> str | None:
    """One factor and offset per channel, where both are past the ReLU."""
    truth, candidate = evidence.truth, evidence.candidate
    if not evidence.name.endswith(NORMALISED) or truth.ndim != 4:
        return None
    factors, residual = _affine_fit(truth, candidate)
    if residual > evidence.departure / 2:  # the fit explains too little
        return None
    if np.all(np.abs(factors - 1) < 0.02) and (np.all(factors <= 1) or np.all(factors >= 1)):
        return (
            f"BatchNorm epsilon: {evidence.name} is scaled by {factors.min():.6f} to {factors.max():.6f}, "
            "the channels of least variance most"
        )
    return (
        f"BatchNorm: every channel of {evidence.name} has a factor ({factors.min():.3g} to {factors.max():.3g}) and "
        "an offset of its own: running statistics or affine, or the batch's statistics in inference"
    )


def _affine_fit(truth: Array, candidate: Array) -> tuple[Array, float]:
    """Each channel's factor of the line from truth to candidate, and the largest error that is left, relative."""
    factors, residuals = [], [np.inf]
    for one, other in zip(truth.swapaxes(0, 1), candidate.swapaxes(0, 1), strict=True):
        active = (one > 0) & (other > 0)
        if np.count_nonzero(active) < 8:
            continue
        x, y = one[active], other[active]
        centred = x - x.mean()
        factor = np.vdot(centred, y) / max(np.vdot(centred, centred), np.finfo(float).tiny)
        factors.append(factor)
        residuals.append(np.abs(y - y.mean() - factor * centred).max())
    left = max(residuals[1:], default=np.inf) / max(np.abs(truth).max(), np.finfo(float).tiny)
    return np.array(factors or [1.0]), float(left)


def borders(evidence: Evidence) -> str | None:
    """Errors at the edges, none inside."""
    truth, candidate = evidence.truth, evidence.candidate
    if truth.ndim != 4 or min(truth.shape[2:]) < 3:
        return None
    wrong = (np.abs(candidate - truth) > evidence.tolerance * np.abs(truth).max()).any(axis=(0, 1))
    if not wrong.any():
        return None
    rows, columns = np.nonzero(wrong)
    height, width = wrong.shape
    below, beside = height - 1 - rows, width - 1 - columns
    depth = np.minimum(below, beside).max() + 1
    if depth < min(height, width) / 4:
        return (
            f"{evidence.name} is wrong only within {depth} of the bottom and right border: ceil mode of a pool, "
            "what an average pool divides by there, or padding on one side only"
        )
    depth = np.minimum.reduce([rows, columns, below, beside]).max() + 1
    if depth < min(height, width) / 4:
        return f"padding: {evidence.name} is wrong only within {depth} of the border"
    return None


def rounding(evidence: Evidence) -> str | None:
    """Small errors everywhere, of no shape: arithmetic of fewer bits."""
    error = evidence.candidate - evidence.truth
    if not 0 < evidence.departure < 2**-5 or abs(error.mean()) > np.abs(error).mean() / 2:
        return None
    bits = -math.log2(evidence.departure)
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

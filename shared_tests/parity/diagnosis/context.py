"""Mistakes in the modules that may stand in attention's place: in how gates and maps are applied, the rest being right.

Each function returns a sentence, or None where none of its mistakes gives the actual array.
"""

from __future__ import annotations

import numpy as np

from shared_tests.parity.diagnosis.mismatch import Array, Mismatch
from shared_tests.reference.operations import sigmoid, softmax

MAPS = ("joint_position_map", "joint_channel_map", "self_attention_map")  # of softmax(query . key)


def gate(mismatch: Mismatch) -> str | None:
    """A gate made of what should be before it, otherwise."""
    if mismatch.name == "bam_gate":
        before = mismatch.taps("bam_channel", "bam_spatial")
        if before is not None:
            channel, spatial = before
            mistakes = {
                "the branches are multiplied; the paper adds them": sigmoid(channel * spatial),
                "the sigmoid is missing": channel + spatial,
                "the spatial branch is missing": sigmoid(channel + 0 * spatial),
                "the channel branch is missing": sigmoid(0 * channel + spatial),
            }
            return mismatch.first_that_explains(mistakes)
    if mismatch.name.endswith("_gate"):
        expected = np.clip(mismatch.expected, 1e-300, 1 - 2**-53)
        scores = np.log(expected / (1 - expected))
        mistakes = {
            "the gate's sigmoid is missing": scores,
            "the gate's sigmoid is applied twice": sigmoid(mismatch.expected),
            "the gate's sign is flipped": sigmoid(-scores),
        }
        return mismatch.first_that_explains(mistakes)
    return None


def gated(mismatch: Mismatch) -> str | None:
    """Features weighed otherwise, the gates themselves being right."""
    kind = mismatch.name.removesuffix("_attention")
    names = {
        "squeeze_excitation": ("squeeze_excitation_gate",),
        "cbam": ("cbam_channel_gate", "cbam_spatial_gate"),
        "bam": ("bam_gate",),
    }
    before = mismatch.taps(f"{kind}_in", *names[kind]) if kind in names else None
    if before is None:
        return selected(mismatch)
    x, *gates = before
    weighed = x * np.prod(np.broadcast_arrays(*gates), axis=0)
    mistakes = {
        "x is added to the gated features; the paper's are gated only": x + weighed,
        "the gated features lack x: the paper has x * (1 + gate)": weighed,
        "the gate is not applied": x,
        "the gate is applied twice": weighed * np.prod(np.broadcast_arrays(*gates), axis=0),
        **{f"{name} is not applied": x * other for name, other in zip(names[kind], reversed(gates), strict=True)},
    }
    return mismatch.first_that_explains(mistakes)


def selected(mismatch: Mismatch) -> str | None:
    """Selective kernels mixed otherwise."""
    names = [f"selective_kernel_{name}" for name in ("near", "far", "near_gate", "far_gate")]
    before = mismatch.taps(*names) if mismatch.name == "selective_kernel_attention" else None
    if before is None:
        return None
    near, far, near_gate, far_gate = before
    mistakes = {
        "the two gates are exchanged": far_gate * near + near_gate * far,
        "the two fields are added without their gates": near + far,
        "only the near field is there": near_gate * near,
        "only the far field is there": far_gate * far,
    }
    return mismatch.first_that_explains(mistakes)


def gathering_map(mismatch: Mismatch) -> str | None:
    """A map of query and key, made otherwise. Which of the projections are which, only the joint maps' sizes tell."""
    parts = parts_of(mismatch) if mismatch.name in MAPS else None
    if parts is None:
        return None
    query, key = parts
    if mismatch.name == "joint_channel_map":
        query, key = query.transpose(0, 2, 1), key.transpose(0, 2, 1)
    energy, depth = query.transpose(0, 2, 1) @ key, query.shape[1]
    mistakes = {
        "query and key are swapped in the energy": softmax(energy.transpose(0, 2, 1)),
        f"the energy is scaled by 1/sqrt({depth}); it should not be": softmax(energy / depth**0.5),
        "the softmax's sign is flipped": softmax(-energy),
    }
    return mismatch.first_that_explains(mistakes)


def parts_of(mismatch: Mismatch) -> tuple[Array, Array] | None:
    """Query and key (N, C, H*W), of joint projections or of a convolution each."""
    kind = mismatch.name.removesuffix("_map")
    if kind == "self_attention":
        apart = mismatch.taps("self_attention_query", "self_attention_key")
        return None if apart is None else (flattened(apart[0]), flattened(apart[1]))
    before = mismatch.taps(f"{kind}_in", f"{kind}_projections")
    if before is None:
        return None
    x, projections = before
    size = (projections.shape[1] - x.shape[1]) // 2
    flat = flattened(projections)
    return flat[:, :size], flat[:, size : 2 * size]


def flattened(x: Array) -> Array:
    """Height and width as one axis."""
    return x.reshape(*x.shape[:2], -1)

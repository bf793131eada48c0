"""Sizes from the papers of context modules: hidden channels, mostly as a fraction of the channels."""

from __future__ import annotations

SELECTIVE_KERNEL_LEAST = 32  # the paper's L (Li et al., CVPR 2019, section 3.1)
# Of DRANet (Fu et al., TNNLS 2020) and its released code.
POOLS = (1, 2, 3, 6)  # rows and columns of the four pools whose 50 values are the centres of compact_position
GATED_CHANNELS = 32  # of layer1's features in the decoder


def reduced(channels: int, reduction: int, least: int = 1) -> int:
    """Return max(channels // reduction, least). Raises ValueError where either is below 1."""
    if channels < 1 or reduction < 1:
        raise ValueError(f"channels and reduction must be at least 1; got {channels} and {reduction}")
    return max(channels // reduction, least)

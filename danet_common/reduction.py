"""Hidden channels of the modules that weigh channels: a fraction of the channels, as their papers have it."""

from __future__ import annotations

SELECTIVE_KERNEL_LEAST = 32  # the paper's L (Li et al., CVPR 2019, section 3.1)


def reduced(channels: int, reduction: int, least: int = 1) -> int:
    """channels / reduction, rounded down, but `least` at least. Raises ValueError where either is below 1."""
    if channels < 1 or reduction < 1:
        raise ValueError(f"channels and reduction must be at least 1; got {channels} and {reduction}")
    return max(channels // reduction, least)

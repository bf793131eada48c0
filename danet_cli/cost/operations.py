"""Floating-point operations of one pass, counted by torch on a network without memory: a product and a sum are two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from danet_common import DANetConfig


@dataclass(frozen=True)
class Operations:
    """Of the whole network, and of what follows its backbone: the head and the resizing to the picture's size."""

    network: int
    head: int


def count_operations(config: DANetConfig | str, batch: int, height: int, width: int) -> Operations:
    """Of the prediction alone (`fused`), by direct convolutions, whichever way a network computes them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import danet_torch
    from danet_common.config.variants import get_config

    channels = get_config(config).in_channels
    with torch.device("meta"):
        model = danet_torch.DANet(config, seed=None, layers="plain").eval()
        x = torch.empty(batch, channels, height, width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, outputs=("fused",))
    total = int(counter.get_total_flops())
    backbone = sum(counter.get_flop_counts()[f"{type(model).__name__}.backbone"].values())
    return Operations(total, total - int(backbone))

"""Floating-point operations of one pass, counted by torch on a network without memory: a product and a sum are two."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

import danet_torch
from danet_common import DANetConfig
from danet_common.variants import get_config


def count_operations(config: DANetConfig | str, batch: int, height: int, width: int) -> int:
    """Of the prediction alone (`fused`), by direct convolutions, whichever way a network computes them."""
    channels = get_config(config).in_channels
    with torch.device("meta"):
        model = danet_torch.DANet(config, seed=None).eval()
        x = torch.empty(batch, channels, height, width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, outputs=("fused",))
    return int(counter.get_total_flops())

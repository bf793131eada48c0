"""Count the floating-point operations of one pass with torch, on the meta device; a multiply-add is 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from danet_common import DANetConfig


class Operations(NamedTuple):
    """Operations of the network, and of the part after its backbone: the head and the resize."""

    network: int
    head: int


def count_operations(config: DANetConfig | str, batch: int, height: int, width: int) -> Operations:
    """Return the operations of the `fused` output with direct convolutions, independent of the layers in use."""
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

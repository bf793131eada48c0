"""The dual attention head, and the auxiliary head that some networks were trained with."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Mapping

from jaxtyping import Bool, Float
from torch import Tensor, nn

from danet_common.config import DANetConfig
from danet_common.dropout import NO_MASKS
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.layers import Conv, ConvNormAct, Dropout, recomputed


class DualAttentionHead(nn.Module):
    """Two branches, position and channel attention, each between 3x3 convolutions; their sum is classified.

    With one attention off its branch is absent; with both off one 3x3 convolution stands in their place
    (the paper's dilated FCN baseline).
    """

    def __init__(self, config: DANetConfig, numerics: Numerics) -> None:
        super().__init__()
        self.config = config
        channels, inner = config.stage_channels[3], config.inner_channels
        if config.position_attention:
            self.position_in = ConvNormAct(channels, inner, 3, numerics)
            self.position_attention = PositionAttention(inner, config.attention_channels, numerics)
            self.position_out = ConvNormAct(inner, inner, 3, numerics)
        if config.channel_attention:
            self.channel_in = ConvNormAct(channels, inner, 3, numerics)
            self.channel_attention = ChannelAttention(numerics)
            self.channel_out = ConvNormAct(inner, inner, 3, numerics)
        if not config.branches:
            self.plain_out = ConvNormAct(channels, inner, 3, numerics)
        self.dropout = Dropout(config.dropout_rate, config.dropout)
        self.fused_classifier = Conv(inner, config.num_classes, 1, numerics, bias=True)
        if "position" in config.outputs:
            self.position_classifier = Conv(inner, config.num_classes, 1, numerics, bias=True)
        if "channel" in config.outputs:
            self.channel_classifier = Conv(inner, config.num_classes, 1, numerics, bias=True)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        outputs: Collection[str] | None = None,
        stages: Stages = NO_STAGES,
        masks: Mapping[str, Tensor] = NO_MASKS,
        recompute: bool = False,
    ) -> dict[str, Float[Tensor, "b classes h w"]]:
        """Logits by output, the fused ones first, at the size of `x`; `outputs` are those to compute, all if None.

        `masks` say what each dropout keeps. With `recompute`, gradients compute each attention again, and no stages
        within them are kept.
        """
        outputs = self.config.outputs if outputs is None else outputs
        branches, logits = {}, {}
        if "position" in self.config.branches_of(outputs):
            branch = stages.keep("position_in", self.position_in(x))
            if recompute:
                branch = recomputed(self.position_attention, branch)
            else:
                branch = self.position_attention(branch, stages=stages)
            branch = stages.keep("position_attention", branch)
            branches["position"] = stages.keep("position_out", self.position_out(branch))
        if "channel" in self.config.branches_of(outputs):
            branch = stages.keep("channel_in", self.channel_in(x))
            if recompute:
                branch = recomputed(self.channel_attention, branch)
            else:
                branch = self.channel_attention(branch, stages=stages)
            branch = stages.keep("channel_attention", branch)
            branches["channel"] = stages.keep("channel_out", self.channel_out(branch))
        if "fused" in outputs:
            if not branches:
                branches["plain"] = stages.keep("plain_out", self.plain_out(x))
            fused = self.dropout(functools.reduce(operator.add, branches.values()), masks.get("fused"))
            logits["fused"] = stages.keep("fused_logits", self.fused_classifier(fused))
        if "position" in outputs:
            position = self.position_classifier(self.dropout(branches["position"], masks.get("position")))
            logits["position"] = stages.keep("position_logits", position)
        if "channel" in outputs:
            channel = self.channel_classifier(self.dropout(branches["channel"], masks.get("channel")))
            logits["channel"] = stages.keep("channel_logits", channel)
        return logits


class AuxiliaryHead(nn.Module):
    """Deep supervision (Zhao et al., CVPR 2017): a small FCN, or a bare classifier, on a backbone stage."""

    def __init__(self, config: DANetConfig, numerics: Numerics) -> None:
        super().__init__()
        hidden, fcn = config.auxiliary_channels, config.auxiliary == "fcn"
        self.hidden = ConvNormAct(config.stage_channels[2], hidden, 3, numerics) if fcn else None
        self.dropout = Dropout(config.dropout_rate, config.dropout)
        channels = hidden if fcn else config.stage_channels[3]
        self.classifier = Conv(channels, config.num_classes, 1, numerics, bias=True)

    def forward(
        self, x: Float[Tensor, "b c h w"], kept: Bool[Tensor, "b c *hw"] | None = None
    ) -> Float[Tensor, "b classes h w"]:
        if self.hidden is not None:
            x = self.hidden(x)
        return self.classifier(self.dropout(x, kept))

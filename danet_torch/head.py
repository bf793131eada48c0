"""The dual attention head, and the auxiliary head that some networks were trained with."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from danet_common.config import DANetConfig
from danet_common.dropout import NO_MASKS
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.context.factory import context_module
from danet_torch.context.gating_decoder import GatingDecoder
from danet_torch.layers import Conv, ConvNormAct, Dropout, recomputed


class DualAttentionHead(nn.Module):
    """Two branches, position and channel attention, each between 3x3 convolutions; their sum is classified.

    The config's `context` may name other modules, and one instead of two; for none one 3x3 convolution stands in
    their place (the paper's dilated FCN baseline). With DRANet's gating decoder the branches are not added, but
    laid side by side, convolved and joined with the features of layer1.
    """

    def __init__(self, config: DANetConfig, numerics: Numerics) -> None:
        super().__init__()
        self.config = config
        channels, inner = config.stage_channels[3], config.inner_channels
        for kind in config.context:
            setattr(self, f"{kind}_in", ConvNormAct(channels, inner, 3, numerics))
            setattr(self, f"{kind}_attention", context_module(kind, config, numerics))
            setattr(self, f"{kind}_out", ConvNormAct(inner, inner, 3, numerics))
        if not config.context:
            self.plain_out = ConvNormAct(channels, inner, 3, numerics)
        if config.decoder == "gating":
            self.merged = ConvNormAct(inner * max(1, len(config.context)), config.fused_channels, 3, numerics)
            low_channels = config.stage_channels[0]
            self.decoder = GatingDecoder(low_channels, config.fused_channels, config.upsample_grid, numerics)
        self.dropout = Dropout(config.dropout_rate, config.dropout)
        self.fused_classifier = Conv(config.fused_channels, config.num_classes, 1, numerics, bias=True)
        for kind in config.context if config.branch_classifiers else ():
            setattr(self, f"{kind}_classifier", Conv(inner, config.num_classes, 1, numerics, bias=True))

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        layer1: Float[Tensor, "b d o p"],
        outputs: Collection[str] | None = None,
        stages: Stages = NO_STAGES,
        masks: Mapping[str, Tensor] = NO_MASKS,
        recompute: bool = False,
    ) -> dict[str, Float[Tensor, "b classes h w"]]:
        """Logits by output, the fused ones first; `outputs` are those to compute, all if None.

        They are of the size of `x`, the output of layer4; with the gating decoder the fused ones of that of `layer1`.

        `masks` say what each dropout keeps. With `recompute`, gradients compute each attention again, and no stages
        within them are kept.
        """
        outputs = self.config.outputs if outputs is None else outputs
        branches: dict[str, Tensor] = {}
        logits = {}
        for kind in self.config.branches_of(outputs):
            attention = getattr(self, f"{kind}_attention")
            branch = stages.keep(f"{kind}_in", getattr(self, f"{kind}_in")(x))
            branch = recomputed(attention, branch) if recompute else attention(branch, stages=stages)
            branch = stages.keep(f"{kind}_attention", branch)
            branches[kind] = stages.keep(f"{kind}_out", getattr(self, f"{kind}_out")(branch))
        if "fused" in outputs:
            if not branches:
                branches["plain"] = stages.keep("plain_out", self.plain_out(x))
            fused = self.dropout(self.fuse(tuple(branches.values()), layer1, stages), masks.get("fused"))
            logits["fused"] = stages.keep("fused_logits", self.fused_classifier(fused))
        for kind in self.config.context:
            if kind in outputs:
                branch = self.dropout(branches[kind], masks.get(kind))
                logits[kind] = stages.keep(f"{kind}_logits", getattr(self, f"{kind}_classifier")(branch))
        return logits

    def fuse(
        self, branches: tuple[Tensor, ...], layer1: Float[Tensor, "b d o p"], stages: Stages
    ) -> Float[Tensor, "b e o p"]:
        """What the fused classifier sees: the sum of the branches, or what the decoder makes of them and of layer1."""
        if self.config.decoder == "sum":
            return functools.reduce(operator.add, branches)
        merged = stages.keep("merged", self.merged(torch.cat(branches, dim=1)))
        return self.decoder(merged, layer1, stages=stages)


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

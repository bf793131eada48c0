"""The dual attention head, and the auxiliary head that some networks were trained with."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from danet_common.config import DANetConfig
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.dropout import NO_MASKS
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.context import context_module
from danet_torch.context.gating_decoder import GatingDecoder
from danet_torch.layers import ConvNormAct, Dropout
from danet_torch.primitives import PLAIN


class DualAttentionHead(nn.Module):
    """Two branches, position and channel attention, each between 3x3 convolutions; a classifier reads their sum.

        layer4 -> position_in -> position_attention -> position_out -> position_classifier
        layer4 -> channel_in -> channel_attention -> channel_out -> channel_classifier
        position_out + channel_out -> fused_classifier

    The classifiers of the branches are for training, as in the released code.

    `config.context` names the branches, ("position", "channel") in DANet. Other modules of `context/` can replace them
    for comparison. If it is empty, a single 3x3 convolution replaces the branches (the paper's dilated FCN baseline).
    With the decoder of DRANet (Fu et al., TNNLS 2020) they are concatenated, convolved (`merged`) and gated by layer1.
    """

    def __init__(self, config: DANetConfig, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.config = config
        channels, branch_channels = config.stage_channels[3], config.inner_channels
        for name in config.context:
            setattr(self, f"{name}_in", ConvNormAct(channels, branch_channels, 3, layers))
            setattr(self, f"{name}_attention", context_module(name, config, layers))
            setattr(self, f"{name}_out", ConvNormAct(branch_channels, branch_channels, 3, layers))
        if not config.context:
            self.plain_out = ConvNormAct(channels, branch_channels, 3, layers)
        if config.decoder == "gating":
            self.merged = ConvNormAct(branch_channels * max(1, len(config.context)), config.fused_channels, 3, layers)
            low_channels = config.stage_channels[0]
            self.decoder = GatingDecoder(low_channels, config.fused_channels, config.upsample_grid, layers)
        self.dropout = Dropout(config.dropout_rate, config.dropout)
        self.fused_classifier = layers.conv(config.fused_channels, config.num_classes, 1, bias=True)
        for name in config.context if config.branch_classifiers else ():
            setattr(self, f"{name}_classifier", layers.conv(branch_channels, config.num_classes, 1, bias=True))

    def forward(
        self,
        layer1: Float[Tensor, "b d o p"],
        layer4: Float[Tensor, "b c h w"],
        outputs: Collection[str] | None = None,
        taps: Taps = NO_TAPS,
        dropout_masks: Mapping[str, Tensor] = NO_MASKS,
    ) -> dict[str, Float[Tensor, "b classes _ _"]]:
        """Return the logits of each requested output but `aux` (all if None), `fused` first, at the size of layer4.

        With the gating decoder `fused` has the size of layer1. `dropout_masks` are those of `DANet`.
        """
        outputs = self.config.outputs if outputs is None else outputs
        branches: dict[str, Tensor] = {}
        logits = {}
        for name in self.config.branches_of(outputs):
            branch = taps.record(f"{name}_in", getattr(self, f"{name}_in")(layer4))
            branch = taps.record(f"{name}_attention", getattr(self, f"{name}_attention")(branch, taps))
            branches[name] = taps.record(f"{name}_out", getattr(self, f"{name}_out")(branch))
        if "fused" in outputs:
            if not branches:
                branches["plain"] = taps.record("plain_out", self.plain_out(layer4))
            fused = self.dropout(self.fuse(tuple(branches.values()), layer1, taps), dropout_masks.get("fused"))
            logits["fused"] = taps.record("fused_logits", self.fused_classifier(fused))
        for name in self.config.context:
            if name in outputs:
                branch = self.dropout(branches[name], dropout_masks.get(name))
                logits[name] = taps.record(f"{name}_logits", getattr(self, f"{name}_classifier")(branch))
        return logits

    def fuse(
        self, branches: tuple[Tensor, ...], layer1: Float[Tensor, "b d o p"], taps: Taps
    ) -> Float[Tensor, "b e _ _"]:
        """Return what dropout and the fused classifier get: the sum of the branches, or the decoder's output."""
        if self.config.decoder == "gating":
            joined = torch.cat(branches, 1)
            return self.decoder(taps.record("merged", self.merged(joined)), layer1, taps)
        return functools.reduce(operator.add, branches)


class AuxiliaryHead(nn.Module):
    """Auxiliary logits: a small FCN on layer3 (`fcn`; Zhao et al., CVPR 2017), or a 1x1 on layer4 (`linear`).

    The logits have the height and width of the layer that they are computed from. `keep_mask` is the dropout
    mask of the classifier's input, or None to draw one in training.
    """

    def __init__(self, config: DANetConfig, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        hidden, fcn = config.auxiliary_channels, config.auxiliary == "fcn"
        self.hidden = ConvNormAct(config.stage_channels[2], hidden, 3, layers) if fcn else None
        self.dropout = Dropout(config.dropout_rate, config.dropout)
        channels = hidden if fcn else config.stage_channels[3]
        self.classifier = layers.conv(channels, config.num_classes, 1, bias=True)

    def forward(
        self,
        layer3: Float[Tensor, "b c h w"],
        layer4: Float[Tensor, "b d p q"],
        keep_mask: Bool[Tensor, "b ..."] | None = None,
    ) -> Float[Tensor, "b classes _ _"]:
        x = layer4 if self.hidden is None else self.hidden(layer3)
        return self.classifier(self.dropout(x, keep_mask))

"""Selective kernel convolution (Li et al., CVPR 2019, section 3.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config.context_sizes import SELECTIVE_KERNEL_LEAST, reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.primitives import PLAIN, upcast


class SelectiveKernel(nn.Module):
    """Two fields of view, near and far, mixed for each channel by what all channels are on average.

    out = near_gate * near + far_gate * far,   near_gate, far_gate = softmax over the two of near_score, far_score
    near and far = relu(bn(3x3(x))), the far one dilated by 2: 5x5 positions
    scores = 1x1 of relu(bn(reduce(mean of near + far over the positions)))

    The paper's U~, U^, z, A and B (eq. 1 to 6). Its convolutions are in groups, these whole. Copies that weigh each
    branch by a sigmoid of its own lose the choice between them. Training needs a batch of two.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        hidden = reduced(channels, reduction, SELECTIVE_KERNEL_LEAST)
        self.near = layers.conv(channels, channels, 3)
        self.near_bn = layers.norm(channels)
        self.far = layers.conv(channels, channels, 3, dilation=2)
        self.far_bn = layers.norm(channels)
        self.reduce = layers.conv(channels, hidden, 1)
        self.reduce_bn = layers.norm(hidden)
        self.near_score = layers.conv(hidden, channels, 1)
        self.far_score = layers.conv(hidden, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        near = taps.record("selective_kernel_near", F.relu(self.near_bn(self.near(x))))
        far = taps.record("selective_kernel_far", F.relu(self.far_bn(self.far(x))))
        mean = torch.mean(upcast(near + far), (2, 3), keepdim=True).to(x.dtype)
        hidden = F.relu(self.reduce_bn(self.reduce(mean)))
        scores = torch.stack((self.near_score(hidden), self.far_score(hidden)))
        gates = torch.softmax(upcast(scores), dim=0)  # of the two
        near_gate = taps.record("selective_kernel_near_gate", gates[0])
        far_gate = taps.record("selective_kernel_far_gate", gates[1])
        return near_gate.to(x.dtype) * near + far_gate.to(x.dtype) * far

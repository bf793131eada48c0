"""The dilated ResNet (He et al., CVPR 2016; Yu et al., CVPR 2017) that feeds the attention head.
Strides and dilations sit on the 3x3 convolutions; layer3 and layer4 trade stride for dilation."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config import DANetConfig
from danet_common.drawing import within
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.layers import BatchNorm, Conv, average_pool, max_pool, norm_act, recomputed


class Stem(nn.Module):
    """The deep stem's three 3x3 convolutions, in the place of the plain stem's 7x7."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], numerics: Numerics) -> None:
        super().__init__()
        first, second, third = widths
        self.conv1 = Conv(in_channels, first, 3, numerics, stride=2)
        self.bn1 = BatchNorm(first, numerics)
        self.conv2 = Conv(first, second, 3, numerics)
        self.bn2 = BatchNorm(second, numerics)
        self.conv3 = Conv(second, third, 3, numerics)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        x = norm_act(self.conv1, self.bn1, x)
        x = norm_act(self.conv2, self.bn2, x)
        return self.conv3(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and 34)."""

    def __init__(
        self, in_channels: int, width: int, numerics: Numerics, *, stride: int, dilation: int, avg_down: bool
    ) -> None:
        super().__init__()
        self.conv1 = Conv(in_channels, width, 3, numerics, stride=stride, dilation=dilation)
        self.bn1 = BatchNorm(width, numerics)
        self.conv2 = Conv(width, width, 3, numerics, dilation=dilation)
        self.bn2 = BatchNorm(width, numerics)
        self.downsample = projection(in_channels, width, numerics, stride, avg_down)
        self.pooled = avg_down and stride == 2

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        out = norm_act(self.conv1, self.bn1, x)
        return norm_act(self.conv2, self.bn2, out, plus=shortcut(x, self.downsample, self.pooled))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (ResNet-50, 101 and 152)."""

    def __init__(
        self, in_channels: int, width: int, numerics: Numerics, *, stride: int, dilation: int, avg_down: bool
    ) -> None:
        super().__init__()
        self.conv1 = Conv(in_channels, width, 1, numerics)
        self.bn1 = BatchNorm(width, numerics)
        self.conv2 = Conv(width, width, 3, numerics, stride=stride, dilation=dilation)
        self.bn2 = BatchNorm(width, numerics)
        self.conv3 = Conv(width, 4 * width, 1, numerics)
        self.bn3 = BatchNorm(4 * width, numerics)
        self.downsample = projection(in_channels, 4 * width, numerics, stride, avg_down)
        self.pooled = avg_down and stride == 2

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        out = norm_act(self.conv1, self.bn1, x)
        out = norm_act(self.conv2, self.bn2, out)
        return norm_act(self.conv3, self.bn3, out, plus=shortcut(x, self.downsample, self.pooled))


class ResNet(nn.Module):
    """Stem and four stages, at strides 4, 4, 8, 8, 8 for output stride 8."""

    def __init__(self, config: DANetConfig, numerics: Numerics) -> None:
        super().__init__()
        channels = config.stem_widths[-1]
        with within("backbone"):
            if config.stem == "deep":
                self.conv1: Stem | Conv = Stem(config.in_channels, config.stem_widths, numerics)
            else:
                self.conv1 = Conv(config.in_channels, channels, 7, numerics, stride=2)
            self.bn1 = BatchNorm(channels, numerics)
            self.layer1 = stage(config, 0, channels, numerics)
            self.layer2 = stage(config, 1, config.stage_channels[0], numerics)
            self.layer3 = stage(config, 2, config.stage_channels[1], numerics)
            self.layer4 = stage(config, 3, config.stage_channels[2], numerics)

    def forward(
        self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES, recompute: bool = False
    ) -> tuple[Float[Tensor, "b d o p"], Float[Tensor, "b e q r"], Float[Tensor, "b f q r"]]:
        """The outputs of layer1, layer3 and layer4; with `recompute`, gradients compute each block again."""
        x = stages.keep("stem", F.relu_(self.bn1(self.conv1(x))))
        layer1 = stages.keep("layer1", chain(self.layer1, max_pool(x), recompute))
        x = stages.keep("layer2", chain(self.layer2, layer1, recompute))
        layer3 = stages.keep("layer3", chain(self.layer3, x, recompute))
        layer4 = stages.keep("layer4", chain(self.layer4, layer3, recompute))
        return layer1, layer3, layer4


def stage(config: DANetConfig, index: int, in_channels: int, numerics: Numerics) -> nn.ModuleList:
    """The blocks of layer{index + 1}; the first takes the stride."""
    block = BasicBlock if config.block == "basic" else Bottleneck
    blocks = []
    for position, dilation in enumerate(config.block_dilations[index]):
        stride = config.stage_strides[index] if position == 0 else 1
        width, avg_down = config.widths[index], config.avg_down
        blocks.append(block(in_channels, width, numerics, stride=stride, dilation=dilation, avg_down=avg_down))
        in_channels = config.stage_channels[index]
    return nn.ModuleList(blocks)


def projection(in_channels: int, out_channels: int, numerics: Numerics, stride: int, avg_down: bool) -> nn.ModuleList:
    """The shortcut's convolution and BatchNorm; empty where the block's input can be added as it is."""
    if stride == 1 and in_channels == out_channels:
        return nn.ModuleList([])
    conv = Conv(in_channels, out_channels, 1, numerics, stride=1 if avg_down else stride)
    return nn.ModuleList([conv, BatchNorm(out_channels, numerics)])


def shortcut(x: Float[Tensor, "b c h w"], downsample: nn.ModuleList, pooled: bool) -> Float[Tensor, "b d p q"]:
    """The block's input, pooled (ResNet-D) and projected where its shape must change."""
    return chain(downsample, average_pool(x) if pooled else x)


def chain(modules: nn.ModuleList, x: Float[Tensor, "b c h w"], recompute: bool = False) -> Float[Tensor, "b d p q"]:
    """Each module applied to what the one before it returned."""
    for module in modules:
        x = recomputed(module, x) if recompute else module(x)
    return x

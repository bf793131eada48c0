"""The dilated ResNet (He et al., CVPR 2016; Yu et al., CVPR 2017) that feeds the attention head.
A bottleneck's stride is on its 3x3 convolution, as in torchvision (He et al.: on the first 1x1).
At output stride 8, layer3 and layer4 are dilated instead of strided."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config import DANetConfig
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.initialisation_scope import initialisation_scope
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.layers import average_pool, max_pool
from danet_torch.primitives import PLAIN


class Stem(nn.Module):
    """Deep stem (ResNet-C; T. He et al., CVPR 2019): three 3x3 convolutions, one of stride 2, in place of one 7x7.

    It ends in a convolution: `ResNet.bn1` and a ReLU follow, as they follow the 7x7.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], layers: LayerSet = PLAIN) -> None:
        super().__init__()
        first, second, third = widths
        self.conv1 = layers.conv(in_channels, first, 3, stride=2)
        self.bn1 = layers.norm(first)
        self.conv2 = layers.conv(first, second, 3)
        self.bn2 = layers.norm(second)
        self.conv3 = layers.conv(second, third, 3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.conv3(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and 34)."""

    def __init__(
        self, in_channels: int, width: int, layers: LayerSet = PLAIN, *, stride: int, dilation: int, pool: int
    ) -> None:
        super().__init__()
        self.conv1 = layers.conv(in_channels, width, 3, stride=stride, dilation=dilation)
        self.bn1 = layers.norm(width)
        self.conv2 = layers.conv(width, width, 3, dilation=dilation)
        self.bn2 = layers.norm(width)
        self.downsample = projection(in_channels, width, layers, stride, pool)
        self.pool = pool

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + shortcut(x, self.downsample, self.pool)
        return F.relu(out)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (ResNet-50, 101 and 152)."""

    def __init__(
        self, in_channels: int, width: int, layers: LayerSet = PLAIN, *, stride: int, dilation: int, pool: int
    ) -> None:
        super().__init__()
        self.conv1 = layers.conv(in_channels, width, 1)
        self.bn1 = layers.norm(width)
        self.conv2 = layers.conv(width, width, 3, stride=stride, dilation=dilation)
        self.bn2 = layers.norm(width)
        self.conv3 = layers.conv(width, 4 * width, 1)
        self.bn3 = layers.norm(4 * width)
        self.downsample = projection(in_channels, 4 * width, layers, stride, pool)
        self.pool = pool

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out)) + shortcut(x, self.downsample, self.pool)
        return F.relu(out)


class ResNet(nn.Module):
    """Stem and max pooling, each of stride 2, then layer1 to layer4.

    After them height and width are those of the input over 4, 8, 8 and 8 for output stride 8; over 4, 8, 16 and 16 for
    16; over 4, 8, 16 and 32 for 32; rounded up.
    """

    def __init__(self, config: DANetConfig, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        channels = config.stem_widths[-1]
        with initialisation_scope("backbone"):  # its initial weights follow another rule
            self.conv1 = make_stem(config, layers)
            self.bn1 = layers.norm(channels)
            self.layer1 = make_stage(config, 0, channels, layers)
            self.layer2 = make_stage(config, 1, config.stage_channels[0], layers)
            self.layer3 = make_stage(config, 2, config.stage_channels[1], layers)
            self.layer4 = make_stage(config, 3, config.stage_channels[2], layers)

    def forward(
        self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS
    ) -> tuple[Float[Tensor, "b d _ _"], Float[Tensor, "b e _ _"], Float[Tensor, "b f _ _"]]:
        """Return the outputs of layer1, layer3 and layer4, with `config.stage_channels` 0, 2 and 3."""
        x = taps.record("stem", F.relu(self.bn1(self.conv1(x))))
        layer1 = taps.record("layer1", chain(self.layer1, max_pool(x)))
        layer2 = taps.record("layer2", chain(self.layer2, layer1))
        layer3 = taps.record("layer3", chain(self.layer3, layer2))
        layer4 = taps.record("layer4", chain(self.layer4, layer3))
        return layer1, layer3, layer4


def make_stem(config: DANetConfig, layers: LayerSet) -> nn.Module:
    """Return the first convolutions of the network, of stride 2: the deep stem, or one 7x7."""
    if config.stem == "deep":
        return Stem(config.in_channels, config.stem_widths, layers)
    return layers.conv(config.in_channels, config.stem_widths[0], 7, stride=2)


def make_stage(config: DANetConfig, index: int, in_channels: int, layers: LayerSet) -> nn.Sequential:
    """Return the blocks of layer{index + 1}; the first takes the stride and the shortcut's pool."""
    # The layer set may wrap the class: layers.remat is activation checkpointing.
    block = layers.remat(layers.block(BasicBlock if config.block == "basic" else Bottleneck))
    blocks = []
    for position, dilation in enumerate(config.block_dilations[index]):
        stride = config.stage_strides[index] if position == 0 else 1
        width, pool = config.widths[index], config.shortcut_pools[index] if position == 0 else 0
        blocks.append(block(in_channels, width, layers, stride=stride, dilation=dilation, pool=pool))
        in_channels = config.stage_channels[index]
    return nn.Sequential(*blocks)


def projection(in_channels: int, out_channels: int, layers: LayerSet, stride: int, pool: int) -> nn.Sequential:
    """Return the shortcut's convolution and BatchNorm; none where the block's input is added as it is.

    With a pool (ResNet-D) its stride is 1, because the input is pooled before.
    """
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    conv = layers.conv(in_channels, out_channels, 1, stride=1 if pool else stride)
    return nn.Sequential(conv, layers.norm(out_channels))


def shortcut(x: Float[Tensor, "b c h w"], downsample: nn.Sequential, pool: int) -> Float[Tensor, "b d p q"]:
    """Return the block's input, pooled (ResNet-D; `pool` is the stride, 0: no pool) and projected where it must be."""
    return chain(downsample, average_pool(x, pool) if pool else x)


def chain(modules: nn.Sequential, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
    """Return `x` after all modules. In Keras and Flax a Sequential would add a level to the names of parameters."""
    return modules(x)

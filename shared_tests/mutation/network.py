"""Seeded bugs in the backbone, in how the head is put together, and in the upsampling."""

from __future__ import annotations

from typing import Any

from shared_tests.fixtures.cases import TINY, Case
from shared_tests.mutation.mutations import Mutation, edits_by_backend, same_edit


def small(**changes: Any) -> Case:
    """The tiny network with some fields changed, on a small image."""
    return Case(TINY.replace(**changes), height=17, width=23)


PLAIN = small()
BOTTLENECK = small(block="bottleneck")
DILATIONS = "enumerate(config.block_dilations[index])"

BACKBONE = (
    Mutation(
        "dilation_not_contracted",
        "the first block of a dilated stage takes the whole dilation",
        PLAIN,
        same_edit("make_stage", (DILATIONS, "enumerate((max(config.block_dilations[index]),) * config.layers[index])")),
    ),
    Mutation(
        "multi_grid_ignored",
        "layer4's dilations ignore multi-grid, which no tensor shows",
        small(multi_grid=(1, 2, 4), layers=(1, 1, 1, 3)),
        same_edit("make_stage", (DILATIONS, "enumerate(config.replace(multi_grid=None).block_dilations[index])")),
    ),
    Mutation(
        "stride_on_first_1x1",
        "a bottleneck's stride sits on its first 1x1, as in Caffe's ResNets",
        BOTTLENECK,
        same_edit(
            "Bottleneck.__init__",
            ("layers.conv(in_channels, width, 1)", "layers.conv(in_channels, width, 1, stride=stride)"),
            ("layers.conv(width, width, 3, stride=stride, ", "layers.conv(width, width, 3, "),
        ),
    ),
    Mutation(
        "norms_swapped",
        "bn1 and bn2, of one shape, change places in a block",
        PLAIN,
        same_edit(
            "BasicBlock.forward",
            ("self.bn1(", "self.bn3("),
            ("self.bn2(", "self.bn1("),
            ("self.bn3(", "self.bn2("),
        ),
    ),
    Mutation(
        "activation_before_sum",
        "a block's last ReLU comes before the shortcut is added",
        PLAIN,
        same_edit(
            "BasicBlock.forward",
            ("out = self.bn2(self.conv2(out))", "out = {relu}(self.bn2(self.conv2(out)))"),
            ("return {relu}(out)", "return out"),
        ),
    ),
    Mutation(
        "deep_stem_without_activation",
        "the deep stem lacks a ReLU between its convolutions",
        small(stem="deep", stem_widths=(4, 6, 8)),
        same_edit("Stem.forward", ("x = {relu}(self.bn2(self.conv2(x)))", "x = self.bn2(self.conv2(x))")),
    ),
    Mutation(
        "shortcut_not_pooled",
        "avg_down ignored: the strided shortcut takes every other pixel instead of their mean",
        small(avg_down=True),
        edits_by_backend(
            "shortcut",
            torch=("average_pool(x, pool) if pool", "x[:, :, ::2, ::2] if pool"),
            tf=("average_pool(x, pool) if pool", "x[:, ::2, ::2] if pool"),
            jax=("average_pool(x, pool) if pool", "x[:, ::2, ::2] if pool"),
        ),
    ),
    Mutation(
        "dilated_shortcut_not_pooled",
        "avg_down_dilated ignored: a shortcut is pooled only where it has a stride, which no tensor shows",
        small(avg_down=True, avg_down_dilated=True),
        same_edit("shortcut", ("if pool else x", "if pool == 2 else x")),
    ),
)

HEAD = (
    Mutation(
        "fusion_by_mean",
        "the branches are averaged; DANet sums them",
        PLAIN,
        same_edit("DualAttentionHead.fuse", ("reduce(operator.add, branches)", "reduce(operator.add, branches) / 2")),
    ),
    Mutation(
        "classifiers_swapped",
        "the position and channel classifiers, of one shape, change places",
        PLAIN,
        same_edit(
            "DualAttentionHead.forward",
            (
                'getattr(self, f"{name}_classifier")(branch)',
                "getattr(self, f\"{self.config.context[name == 'position']}_classifier\")(branch)",
            ),
        ),
    ),
    Mutation(
        "branch_inputs_shared",
        "both branches start from position_in; channel_in has the same shape and is never used",
        PLAIN,
        same_edit("DualAttentionHead.forward", ('getattr(self, f"{name}_in")(layer4)', "self.position_in(layer4)")),
    ),
    Mutation(
        "auxiliary_on_wrong_stage",
        "the auxiliary head reads layer3 where it should read layer4: here both have as many channels",
        small(auxiliary="linear", widths=(8, 12, 32, 32)),
        same_edit("AuxiliaryHead.forward", ("layer4 if self.hidden", "layer3 if self.hidden")),
    ),
)

OUTPUTS = (
    Mutation(
        "outputs_ignored",
        "every output is computed, whichever were asked for",
        small(auxiliary="fcn"),
        same_edit(
            "DANet.forward",
            ("resolve_request(self.config, outputs, ", "resolve_request(self.config, None, "),
        ),
    ),
    Mutation(
        "every_classifier_applied",
        "the fused classifier is applied to the branches that are there, whether it was asked for or not",
        small(auxiliary="fcn"),
        same_edit("DualAttentionHead.forward", ('if "fused" in outputs:', "if branches:")),
    ),
)


HALF_PIXEL = "return (2 * i + 1) * source - target, 2 * target"

UPSAMPLING = (
    Mutation(
        "corners_ignored",
        "align_corners=True replaced by the half-pixel grid, the only one that Keras and JAX resize with",
        PLAIN,
        same_edit("sample_positions", ("return i * (source - 1), largest(target - 1, 1)", HALF_PIXEL)),
    ),
    Mutation(
        "asymmetric_ignored",
        "Paddle's align_mode=1 replaced by the half-pixel grid",
        small(upsample_grid="asymmetric"),
        same_edit("sample_positions", ("return i * source, target", HALF_PIXEL)),
    ),
    Mutation(
        "half_pixel_ignored",
        "the half-pixel grid replaced by aligned corners",
        small(upsample_grid="half_pixel"),
        same_edit("sample_positions", ('if grid == "corners":', 'if grid != "asymmetric":')),
    ),
    Mutation(
        "half_pixel_unclamped",
        "half-pixel samples beyond the border are not moved onto it",
        small(upsample_grid="half_pixel"),
        edits_by_backend(
            "interpolation_matrix",
            torch=("torch.clamp(numerator, 0, (source - 1) * denominator)", "numerator"),
            tf=("ops.clip(numerator, 0, (source - 1) * denominator)", "numerator"),
            jax=("jnp.clip(numerator, 0, (source - 1) * denominator)", "numerator"),
        ),
    ),
    Mutation(
        "resize_in_float32",
        "resizing returns float32 whatever goes in, as tf.image.resize does",
        PLAIN,
        edits_by_backend(
            "resize",
            torch=("upcast(x)", "x.float()"),
            tf=("upcast(x)", 'ops.cast(x, "float32")'),
            jax=("upcast(x)", 'x.astype("float32")'),
        ),
    ),
    Mutation(
        "one_pixel_high",
        "aligned corners of a single row: size - 1 is zero, and a weight 0 / 0",
        Case(TINY, height=1, width=9),
        same_edit("sample_positions", ("largest(target - 1, 1)", "target - 1")),
    ),
)

"""What the goldens are recorded for: the published variants, and one small network for every knob of the config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from danet_common.config import DANetConfig
from danet_common.variants import VARIANTS


@dataclass(frozen=True)
class Case:
    """A config with the rule's weights, and the size of the rule's input; sizes are odd and not square."""

    config: DANetConfig
    batch: int = 2
    height: int = 33
    width: int = 47
    training: bool = False


TINY = VARIANTS["danet_tiny"]
DRANET = TINY.replace(
    stem="deep",
    stem_widths=(4, 6, 8),
    multi_grid=(1, 2),
    context=("compact_position", "compact_channel"),
    decoder="gating",
    branch_classifiers=False,
    auxiliary="fcn",
    auxiliary_channels=10,
    reduction=4,
)


def _tiny(**changes: Any) -> Case:
    return Case(TINY.replace(**changes))


def _training(**changes: Any) -> Case:
    return Case(TINY.replace(dropout_rate=0.0, **changes), training=True)


CASES: dict[str, Case] = {
    "tiny": _tiny(),
    "r18": Case(VARIANTS["danet_r18"], height=65, width=49),
    "r34": Case(VARIANTS["danet_r34"], batch=1, height=41, width=57),
    "r50": Case(VARIANTS["danet_r50"], height=97, width=129),
    "r101": Case(VARIANTS["danet_r101"], height=97, width=129),
    "r152": Case(VARIANTS["danet_r152"], batch=1, height=41, width=57),
    # The backbone's knobs.
    "bottleneck": _tiny(block="bottleneck"),
    "deep_stem": _tiny(stem="deep", stem_widths=(4, 6, 8)),
    "avg_down": Case(TINY.replace(avg_down=True, output_stride=32), height=37, width=71),  # 5 x 9 pixels into layer3
    "output_stride_16": _tiny(output_stride=16),
    "output_stride_32": _tiny(output_stride=32),
    "multi_grid": _tiny(multi_grid=(1, 2, 4), layers=(1, 1, 2, 4)),
    "multi_grid_16": _tiny(multi_grid=(2, 3), output_stride=16, layers=(1, 1, 2, 3)),
    "dilated_stride": _tiny(multi_grid=(2, 4), output_stride=32),
    "whole_dilation": _tiny(contract_dilation=False, layers=(1, 1, 2, 2)),
    "epsilon": _tiny(batch_norm_epsilon=1e-3),
    # The head's.
    "position_only": _tiny(context=("position",)),
    "channel_only": _tiny(context=("channel",)),
    "no_attention": _tiny(context=()),
    "squeeze_excitation": _tiny(context=("squeeze_excitation",), reduction=4),
    "cbam": _tiny(context=("cbam",), reduction=4),
    "bam": _tiny(context=("bam",), reduction=4),
    "selective_kernel": _tiny(context=("selective_kernel",)),
    "non_local_gaussian": _tiny(context=("non_local",), non_local_form="gaussian"),
    "non_local_embedded_gaussian": _tiny(context=("non_local",), non_local_form="embedded_gaussian"),
    "non_local_dot_product": _tiny(context=("non_local",), non_local_form="dot_product"),
    "non_local_concatenation": _tiny(context=("non_local",), non_local_form="concatenation"),
    "non_local_gaussian_pooled": _tiny(context=("non_local",), non_local_form="gaussian", non_local_pooled=True),
    "non_local_concatenation_pooled": _tiny(
        context=("non_local",), non_local_form="concatenation", non_local_pooled=True
    ),
    "self_attention": _tiny(context=("self_attention",), query_channels=None),
    "joint_position": _tiny(context=("joint_position",)),
    "joint_channel": _tiny(context=("joint_channel",)),
    "joint": _tiny(context=("joint_position", "joint_channel")),
    "position_and_non_local": _tiny(context=("position", "non_local"), non_local_pooled=True),
    "self_attention_and_channel": _tiny(context=("self_attention", "channel")),
    "cbam_and_squeeze_excitation": _tiny(context=("cbam", "squeeze_excitation"), reduction=5),
    "compact_position": _tiny(context=("compact_position",)),
    "compact_channel": _tiny(context=("compact_channel",), reduction=4),
    "dranet": Case(DRANET),
    "dranet_of_one_pixel": Case(
        DRANET.replace(output_stride=32, head_channels=None, query_channels=None), height=5, width=7
    ),
    "gating_of_one_branch": _tiny(context=("channel",), decoder="gating", upsample_grid="half_pixel"),
    "gating_of_no_attention": _tiny(context=(), decoder="gating"),
    "fused_classifier_only": _tiny(branch_classifiers=False),
    "auxiliary_fcn": _tiny(auxiliary="fcn", auxiliary_channels=10),
    "auxiliary_linear": _tiny(auxiliary="linear"),
    "half_pixel": _tiny(upsample_grid="half_pixel"),
    "asymmetric": _tiny(upsample_grid="asymmetric"),
    "head_channels": _tiny(head_channels=None, query_channels=None),
    "wide_head": _tiny(head_channels=40, query_channels=11),
    # Input, output and sizes.
    "one_class": _tiny(num_classes=1),
    "seven_classes": _tiny(num_classes=7),
    "one_channel": _tiny(in_channels=1, mean=(0.5,), std=(0.25,)),
    "four_channels": _tiny(in_channels=4, mean=(0.5,) * 4, std=(0.25,) * 4),
    "one_pixel": Case(TINY.replace(output_stride=32), height=5, width=7),  # layer4 is 1 x 1
    "one_pixel_half": Case(TINY.replace(output_stride=32, upsample_grid="half_pixel"), height=5, width=7),
    "even_size": Case(TINY, height=64, width=48),
    "batch_3": Case(TINY, batch=3, height=49, width=31),
    # As published elsewhere: mmseg's V1c and Paddle's vd, in small.
    "mmseg": _tiny(block="bottleneck", stem="deep", stem_widths=(4, 6, 8), auxiliary="fcn", upsample_grid="half_pixel"),
    "paddle": _tiny(
        block="bottleneck",
        stem="deep",
        stem_widths=(4, 6, 8),
        avg_down=True,
        contract_dilation=False,
        auxiliary="linear",
        upsample_grid="asymmetric",
    ),
    # Training mode: the batch's statistics, and the running ones after one step.
    "training": _training(),
    "training_momentum": _training(batch_norm_momentum=0.3, batch_norm_epsilon=1e-3),
    "training_bottleneck": _training(block="bottleneck", stem="deep", stem_widths=(4, 6, 8), avg_down=True),
    "training_auxiliary": _training(auxiliary="fcn", auxiliary_channels=10, multi_grid=(1, 2, 4)),
    "training_bam_and_selective_kernel": _training(context=("bam", "selective_kernel"), reduction=4),
    "training_non_local": _training(context=("non_local",), non_local_form="dot_product", non_local_pooled=True),
    "training_no_attention": _training(context=()),
    "training_dranet": Case(DRANET.replace(dropout_rate=0.0), training=True),
}

"""Networks whose checkpoints people hand over and that are not the DANet: by the names that give them away.

Only asked where no schema fits. The names are those of the repositories that `what` speaks of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ANOTHER = "it is another network than DANet: "


@dataclass(frozen=True)
class Refusal:
    """A file with a key that begins with one of `starts`, and none that begins with one of `without`."""

    starts: tuple[str, ...]
    reason: str
    without: tuple[str, ...] = ()


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        ("jpu.", "head.jpu."),
        "it is Tramac's JPU variant (joint pyramid upsampling before the head), which is another network "
        "than DANet; a checkpoint trained without --jpu converts",
    ),
    Refusal(("head.cca.", "head.ema."), ANOTHER + "CCNet or EMANet"),
    Refusal(("aux_classifier.", "classifier.0.convs."), ANOTHER + "FCN or DeepLabV3 of torchvision"),
    Refusal(("aspp.", "classifier.aspp.", "head.aspp.", "classifier.project."), ANOTHER + "DeepLab"),
    Refusal(("psp.", "ppm.", "head.psp", "master_branch."), ANOTHER + "PSPNet"),
    Refusal(
        ("decode_head.",),
        ANOTHER + "an MMSegmentation decode head that is not DAHead",
        without=("decode_head.pam", "decode_head.cam"),
    ),
    Refusal(("segformer.",), ANOTHER + "SegFormer"),
    Refusal(("inc.double_conv.", "down1.maxpool_conv.", "decoder.blocks."), ANOTHER + "U-Net"),
    Refusal(("stage2.0.branches.", "backbone.stage2.0.branches."), ANOTHER + "HRNet"),
    Refusal(("patch_embed.", "image_encoder.", "vit.", "visual.", "blocks.0.attn."), ANOTHER + "a vision transformer"),
    Refusal(("features.denseblock1.",), ANOTHER + "DenseNet"),
    Refusal(("_conv_stem.",), ANOTHER + "EfficientNet"),
)


def refusal(keys: Sequence[str]) -> str | None:
    """Why a file with these keys cannot be converted; None where nothing is known of it."""
    for known in REFUSALS:
        named = any(key.startswith(known.starts) for key in keys)
        if named and not (known.without and any(key.startswith(known.without) for key in keys)):
            return known.reason
    return None

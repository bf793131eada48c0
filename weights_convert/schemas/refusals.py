"""List known networks that cannot be converted, by names of their tensors.

The list is used only if no schema fits. The names come from the repositories in `what`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ANOTHER = "it is another network than DANet: "


@dataclass(frozen=True)
class Refusal:
    """Reason for files with a key that has one of `starts` at a dot, and no key with one of `without`."""

    starts: tuple[str, ...]
    reason: str
    without: tuple[str, ...] = ()


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        ("jpu.", "head.jpu."),
        "it is Tramac's JPU variant (joint pyramid upsampling before the head), another network than "
        "DANet; checkpoints trained without --jpu can be converted",
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
    """Return the reason why a file with these keys cannot be converted; None if unknown."""

    def any_has(starts: tuple[str, ...]) -> bool:
        return any(f".{start}" in f".{key}" for start in starts for key in keys)

    return next((known.reason for known in REFUSALS if any_has(known.starts) and not any_has(known.without)), None)

"""Infer a config from canonical names and shapes: depth, widths, stem and head.

If the tensor that determines a field is missing, a second tensor or the default decides. The later check for
completeness then names the missing tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from danet_common import DANetConfig
from danet_common.config import ContextKind
from danet_common.config.context_kinds import CONTEXT
from danet_common.config.context_sizes import SELECTIVE_KERNEL_LEAST, reduced

Shapes = Mapping[str, tuple[int, ...]]

DEFAULTS = DANetConfig()
KINDS = get_args(ContextKind)  # order of the branches in a config
# Those whose queries have `query_channels`; in the non-local block queries have half of the channels.
WITH_QUERIES = [
    kind
    for kind in KINDS
    if kind != "non_local" and any(tensor.name == ".query.weight" for tensor in CONTEXT[kind].tensors(DEFAULTS, ""))
]
LEAST = {"selective_kernel": SELECTIVE_KERNEL_LEAST}
DEEP_WIDTHS = (64, 64, 128)

# Field -> (tensor, axis) that determine it, the best first.
SIZES: Mapping[str, tuple[tuple[str, int], ...]] = {
    "in_channels": (("backbone.conv1.weight", 1), ("backbone.conv1.conv1.weight", 1)),
    "head_channels": (
        *((f"head.{kind}_in.conv.weight", 0) for kind in KINDS),
        ("head.plain_out.conv.weight", 0),
        *((f"head.{kind}_in.bn.weight", 0) for kind in KINDS),
    ),
    "query_channels": tuple(
        (f"head.{kind}_attention.{layer}.weight", 0) for kind in WITH_QUERIES for layer in ("query", "key")
    ),
    "num_classes": (
        ("head.fused_classifier.weight", 0),
        ("head.fused_classifier.bias", 0),
        *((f"head.{kind}_classifier.weight", 0) for kind in KINDS),
    ),
    "auxiliary_channels": (("auxiliary.hidden.conv.weight", 0), ("auxiliary.hidden.bn.weight", 0)),
}
BACKBONE_FIELDS = ("block", "layers", "widths", "stem", "stem_widths", "in_channels")


@dataclass(frozen=True)
class Inferred:
    """Value of a config field, and the tensor or module that determines it."""

    value: Any
    tensor: str


def infer(shapes: Shapes, backbone_only: bool = False) -> dict[str, Inferred]:
    """Return config field -> inferred value, for the fields that tensors determine."""
    inferred = {**_stem(shapes), **_stages(shapes), **_head(shapes)}
    for field, witnesses in SIZES.items():
        for name, axis in witnesses:
            if len(shapes.get(name, ())) > axis:
                inferred[field] = Inferred(shapes[name][axis], name)
                break
    if backbone_only:
        return {field: value for field, value in inferred.items() if field in BACKBONE_FIELDS}
    return inferred


def _stem(shapes: Shapes) -> dict[str, Inferred]:
    if _any(shapes, "backbone.conv1.conv"):
        names = [f"backbone.conv1.conv{index}.weight" for index in (1, 2, 3)]
        widths = tuple((shapes.get(name) or (default,))[0] for name, default in zip(names, DEEP_WIDTHS, strict=True))
        return {"stem": Inferred("deep", names[0]), "stem_widths": Inferred(widths, names[0])}
    name = "backbone.conv1.weight"
    if not shapes.get(name):
        return {}
    return {"stem": Inferred("plain", name), "stem_widths": Inferred((shapes[name][0],), name)}


def _stages(shapes: Shapes) -> dict[str, Inferred]:
    layers, widths = [], []
    for stage, default in enumerate(DEFAULTS.widths, start=1):
        prefix = f"backbone.layer{stage}."
        blocks = {name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)}
        layers.append(len(blocks))
        first = shapes.get(f"{prefix}0.conv1.weight") or shapes.get(f"{prefix}0.bn1.weight") or (default,)
        widths.append(first[0])
    if 0 in layers:
        return {}
    witness = "backbone.layer1.0.conv1.weight"
    block = "bottleneck" if any(".conv3." in name for name in shapes if name.startswith("backbone.layer")) else "basic"
    inferred = {
        "block": Inferred(block, witness),
        "layers": Inferred(tuple(layers), witness),
        "widths": Inferred(tuple(widths), witness),
    }
    return inferred | _stride(shapes, inferred)


def _stride(shapes: Shapes, inferred: Mapping[str, Inferred]) -> dict[str, Inferred]:
    """Infer the output stride: with equal channels, layer3 and layer4 need a shortcut only for a stride."""
    if min(inferred["widths"].value) < 1:
        return {}
    config = DANetConfig(**{field: value.value for field, value in inferred.items()})
    for stage, stride in ((4, 32), (3, 16)):
        name = f"backbone.layer{stage}.0.downsample.0.weight"
        if name in shapes and config.stage_channels[stage - 1] == config.stage_channels[stage - 2]:
            return {"output_stride": Inferred(stride, name)}
    return {}


def _head(shapes: Shapes) -> dict[str, Inferred]:
    if not _any(shapes, "head."):
        return {}
    context = tuple(kind for kind in KINDS if _any(shapes, f"head.{kind}_"))
    inferred = {"context": Inferred(context, f"head.{context[0]}_in" if context else "head.plain_out")}
    if context:
        classifiers = _any(shapes, *(f"head.{kind}_classifier." for kind in context))
        inferred["branch_classifiers"] = Inferred(classifiers, f"head.{context[0]}_classifier")
        inferred |= {**_reduction(shapes, context), **_non_local(shapes), **_projections(shapes)}
    gating = _any(shapes, "head.merged.", "head.decoder.")
    inferred["decoder"] = Inferred("gating" if gating else "sum", "head.decoder" if gating else "head.fused_classifier")
    auxiliary = "fcn" if _any(shapes, "auxiliary.hidden.") else "linear" if _any(shapes, "auxiliary.") else "none"
    return inferred | {"auxiliary": Inferred(auxiliary, "auxiliary.classifier")}


def _reduction(shapes: Shapes, context: tuple[str, ...]) -> dict[str, Inferred]:
    """Infer the reduction from the hidden channels; prefer the default if it gives the same number."""
    for kind in context:
        name = f"head.{kind}_attention.{'centres.conv' if kind == 'compact_channel' else 'reduce'}.weight"
        hidden, channels = shapes.get(name, ())[:2] or (0, 0)
        if hidden > 0 and channels > 0:
            usual = reduced(channels, DEFAULTS.reduction, LEAST.get(kind, 1)) == hidden
            return {"reduction": Inferred(DEFAULTS.reduction if usual else max(channels // hidden, 1), name)}
    return {}


def _non_local(shapes: Shapes) -> dict[str, Inferred]:
    """Infer two of the four non-local forms; the other two have equal tensors."""
    name = "head.non_local_attention"
    if f"{name}.query_score.weight" in shapes:
        return {"non_local_form": Inferred("concatenation", f"{name}.query_score.weight")}
    if f"{name}.value.weight" in shapes and not _any(shapes, f"{name}.query.", f"{name}.key."):
        return {"non_local_form": Inferred("gaussian", f"{name}.value.weight")}
    return {}


def _projections(shapes: Shapes) -> dict[str, Inferred]:
    """Infer query channels: joint projections have the channels of value, query and key."""
    name = "head.joint_position_attention.projections.weight"
    total, channels = shapes.get(name, ())[:2] or (0, 0)
    return {"query_channels": Inferred((total - channels) // 2, name)} if total >= channels + 2 else {}


def _any(names: Iterable[str], *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in names)

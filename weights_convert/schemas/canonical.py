"""The canonical names, for a file of them that has no manifest.

Tensors saved by this project's own networks through their framework (`torch.save(model.state_dict())`,
Keras's `save_weights`, Orbax's checkpointers) are named so.
"""

from weights_convert.schemas.schema import Schema, Untold

CONVOLUTIONS = (
    "backbone.conv1",
    "backbone.conv1.conv{c}",
    "backbone.layer{L}.{i}.conv{c}",
    "backbone.layer{L}.{i}.downsample.0",
    "head.position_in.conv",
    "head.position_attention.query",
    "head.position_attention.key",
    "head.position_attention.value",
    "head.position_out.conv",
    "head.channel_in.conv",
    "head.channel_out.conv",
    "head.plain_out.conv",
    "head.fused_classifier",
    "head.position_classifier",
    "head.channel_classifier",
    "auxiliary.hidden.conv",
    "auxiliary.classifier",
)
NORMS = (
    "backbone.conv1.bn{c}",
    "backbone.bn1",
    "backbone.layer{L}.{i}.bn{c}",
    "backbone.layer{L}.{i}.downsample.1",
    "head.position_in.bn",
    "head.position_out.bn",
    "head.channel_in.bn",
    "head.channel_out.bn",
    "head.plain_out.bn",
    "auxiliary.hidden.bn",
)
GAMMAS = ("head.position_attention.gamma", "head.channel_attention.gamma")

CANONICAL = Schema(
    name="canonical",
    source="danet_common.parameters",
    convolutions=dict(zip(CONVOLUTIONS, CONVOLUTIONS, strict=True)),
    norms=dict(zip(NORMS, NORMS, strict=True)),
    gammas=dict(zip(GAMMAS, GAMMAS, strict=True)),
    untold=(
        Untold("multi_grid", None, "it changes no tensor"),
        Untold("upsample_grid", "corners", "it changes no tensor"),
        Untold("avg_down", False, "it changes no tensor"),
    ),
)

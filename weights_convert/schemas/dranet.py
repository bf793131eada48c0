"""DRANet checkpoints of the authors.

Their published model has the deep stem and layer4 dilations 4, 8, 16. A file does not contain its dilations, so
the schema assumes these. Keys and values of compact position attention are linear layers with matrix weights.

The authors renamed the head once (`model_mapping.py`). Older files have the older names, and an auxiliary head
`auxlayer` that the network no longer uses.
"""

from collections.abc import Mapping
from dataclasses import replace

from danet_common import DANetConfig
from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.official import OFFICIAL, trainer_object
from weights_convert.schemas.resnet import blocks, of_backbone

POSITION, CHANNEL = "head.compact_position_attention", "head.compact_channel_attention"
# Our convolution with BatchNorm -> their Sequential of the two.
BLOCKS: Mapping[str, str] = {
    "head.compact_position_in": "head.conv_cpam_b",
    f"{POSITION}.pool1": "head.cpam_enc.conv1",
    f"{POSITION}.pool2": "head.cpam_enc.conv2",
    f"{POSITION}.pool3": "head.cpam_enc.conv3",
    f"{POSITION}.pool6": "head.cpam_enc.conv4",
    "head.compact_position_out": "head.conv_cpam_e",
    "head.compact_channel_in": "head.conv_ccam_b",
    f"{CHANNEL}.centres": "head.ccam_enc",
    "head.compact_channel_out": "head.conv_ccam_e",
    "head.merged": "head.conv_cat",
    "head.decoder.low": "head.clgd.conv_low",
    "head.decoder.joined": "head.clgd.conv_cat",
    "head.decoder.out": "head.clgd.conv_out",
    "auxiliary.hidden": "cls_aux",
}
CONVOLUTIONS: Mapping[str, str] = {
    f"{POSITION}.query": "head.cpam_dec.conv_query",
    f"{POSITION}.key": "head.cpam_dec.conv_key",
    f"{POSITION}.value": "head.cpam_dec.conv_value",
    "head.decoder.gate": "head.clgd.conv_att.0",
    "head.fused_classifier": "cls_seg.1",
    "auxiliary.classifier": "cls_aux.4",
}
GAMMAS: Mapping[str, str] = {
    f"{POSITION}.gamma": "head.cpam_dec.scale",
    f"{CHANNEL}.gamma": "head.ccam_dec.scale",
    "head.decoder.gain": "head.clgd.gamma",
}
OLDER: Mapping[str, str] = {  # prefix of today's names -> prefix of the older ones
    "head.conv_cpam_b": "head.conv5_s",
    "head.conv_ccam_b": "head.conv5_c",
    "head.ccam_enc": "head.conv51_c",
    "head.conv_cpam_e": "head.conv52",
    "head.conv_ccam_e": "head.conv51",
    "head.conv_cat": "head.conv_f",
    "head.cpam_enc": "head.en_s",
    "head.cpam_dec.conv_query": "head.de_s.query_conv2",
    "head.cpam_dec.conv_key": "head.de_s.key_conv2",
    "head.cpam_dec.conv_value": "head.de_s.value2",
    "head.cpam_dec": "head.de_s",
    "head.ccam_dec": "head.de_c",
    "head.clgd.conv_low": "head.skipconv",
    "head.clgd.conv_cat": "head.fusion",
    "head.clgd.conv_out": "head.fusion2",
    "head.clgd.conv_att": "head.att",
    "head.clgd.gamma": "head.gamma",
    "cls_seg": "head.conv6",
    "cls_aux": "head.conv7",
}
ORDER = (
    "pretrained.",
    "head.conv_cpam_b.",
    "head.cpam_enc.",
    "head.cpam_dec.scale",
    "head.cpam_dec.",
    "head.conv_cpam_e.",
    "head.conv_ccam_b.",
    "head.ccam_enc.",
    "head.ccam_dec.",
    "head.conv_ccam_e.",
    "head.conv_cat.",
    "head.clgd.gamma",
    "head.clgd.conv_low.",
    "head.clgd.conv_cat.",
    "head.clgd.conv_att.",
    "head.clgd.conv_out.",
    "cls_aux.",
    "cls_seg.",
)


def older(name: str) -> str:
    """Return the older name of a module or a factor."""
    begins = next((start for start in OLDER if name == start or name.startswith(f"{start}.")), None)
    return name if begins is None else OLDER[begins] + name.removeprefix(begins)


def norm_shape(config: DANetConfig) -> tuple[int, ...]:
    """Return the shape of the unused head's BatchNorm tensors: 1/4 of layer3's channels."""
    return (config.stage_channels[2] // 4,)


TODAY = Schema(
    name="dranet",
    source="https://github.com/junfu1115/DANet, encoding/models/sseg/dran.py and encoding/nn/dran_att.py at b0a0fa0",
    layout="today",
    modules={**of_backbone(OFFICIAL.modules), **blocks(BLOCKS, "0", "1"), **CONVOLUTIONS},
    gammas=GAMMAS,
    linear_weights=frozenset({f"{POSITION}.key.weight", f"{POSITION}.value.weight"}),
    order=ORDER,
    fixed_config={
        **{name: value for name, value in OFFICIAL.fixed_config.items() if name != "auxiliary"},
        "context": ("compact_position", "compact_channel"),
        "decoder": "gating",
        "branch_classifiers": False,
    },
    allowed_config={"auxiliary": ("none", "fcn")},
    assumptions=(
        Assumption(
            "multi_grid",
            (1, 2, 4),
            "their published model has it (layer4 dilations 4,8,16); their code's default is none",
        ),
    ),
    wrap_state_dict=trainer_object,
)
BEFORE = replace(
    TODAY,
    source="https://github.com/junfu1115/DANet, experiments/segmentation/model_mapping.py at b0a0fa0",
    layout="older",
    modules={ours: older(theirs) for ours, theirs in TODAY.modules.items()},
    gammas={ours: older(theirs) for ours, theirs in GAMMAS.items()},
    order=("pretrained.", *(f"{older(start.removesuffix('.'))}{'.' * start.endswith('.')}" for start in ORDER[1:])),
    extra_tensors={
        "auxlayer.conv5.0.weight": lambda config: (*norm_shape(config), config.stage_channels[2], 3, 3),
        **dict.fromkeys(
            (f"auxlayer.conv5.1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")), norm_shape
        ),
        "auxlayer.conv5.1.num_batches_tracked": lambda config: (),
        "auxlayer.conv5.4.weight": lambda config: (config.num_classes, *norm_shape(config), 1, 1),
        "auxlayer.conv5.4.bias": lambda config: (config.num_classes,),
    },
)
DRANET: tuple[Schema, ...] = (TODAY, BEFORE)

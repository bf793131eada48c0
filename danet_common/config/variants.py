"""Named configurations.

The ResNet variants are the authors' published setting: plain stem, output stride 8, multi-grid
(layer4 dilations 4, 8, 16), corner-aligned upsampling. The DRANets are the same authors' (their
README's command): deep stem, the same multi-grid, auxiliary head, no classifiers on the branches.
`danet_tiny` is for tests and demonstrations. The others are the networks of other projects:

mmseg     mmsegmentation 3f8d34e, configs/_base_/models/danet_r50-d8.py: V1c stem, no multi-grid, FCN on layer3,
          half-pixel upsampling; corner-aligned in the configurations for 769x769
paddle    PaddleSeg d7975e7, paddleseg/models/danet.py and backbones/resnet_vd.py: layer4 dilated 4, 4, 4 and all of
          layer3 2, a 1x1 auxiliary classifier on layer4, align_mode=1, pixels of mean and deviation 0.5
gluoncv   gluon-cv 5677756, gluoncv/model_zoo/danet.py: the deep stem of 64, 64, 128, no multi-grid, no dropout
"""

from danet_common.config import DANetConfig

DRANET = DANetConfig(
    stem="deep",
    stem_widths=(64, 64, 128),
    multi_grid=(1, 2, 4),
    context=("compact_position", "compact_channel"),
    decoder="gating",
    branch_classifiers=False,
    auxiliary="fcn",
)

MMSEG = DANetConfig(stem="deep", stem_widths=(32, 32, 64), auxiliary="fcn", upsample_grid="half_pixel")
PADDLE = DANetConfig(
    stem="deep",
    stem_widths=(32, 32, 64),
    avg_down=True,
    contract_dilation=False,
    auxiliary="linear",
    upsample_grid="asymmetric",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
GLUONCV = DANetConfig(stem="deep", stem_widths=(64, 64, 128), dropout_rate=0.0)
R101 = (3, 4, 23, 3)

VARIANTS: dict[str, DANetConfig] = {
    "danet_tiny": DANetConfig(
        block="basic", layers=(1, 1, 1, 2), widths=(8, 12, 16, 32), stem_widths=(8,), head_channels=24, query_channels=6
    ),
    "danet_r18": DANetConfig(block="basic", layers=(2, 2, 2, 2), multi_grid=(1, 2, 4)),
    "danet_r34": DANetConfig(block="basic", layers=(3, 4, 6, 3), multi_grid=(1, 2, 4)),
    "danet_r50": DANetConfig(layers=(3, 4, 6, 3), multi_grid=(1, 2, 4)),
    "danet_r101": DANetConfig(layers=R101, multi_grid=(1, 2, 4)),
    "danet_r152": DANetConfig(layers=(3, 8, 36, 3), multi_grid=(1, 2, 4)),
    "dranet_r50": DRANET,
    "dranet_r101": DRANET.replace(layers=R101),
    "danet_r50_mmseg": MMSEG,
    "danet_r101_mmseg": MMSEG.replace(layers=R101),
    "danet_r50_mmseg_769": MMSEG.replace(upsample_grid="corners"),
    "danet_r101_mmseg_769": MMSEG.replace(layers=R101, upsample_grid="corners"),
    "danet_r50_paddle": PADDLE,
    "danet_r101_paddle": PADDLE.replace(layers=R101),
    "danet_r50_gluoncv": GLUONCV,
    "danet_r101_gluoncv": GLUONCV.replace(layers=R101),
}


def get_config(config: DANetConfig | str) -> DANetConfig:
    """Return a config, or the named variant's. Raises ValueError for an unknown name."""
    if isinstance(config, DANetConfig):
        return config
    if config not in VARIANTS:
        raise ValueError(f"unknown variant {config!r}; known: {', '.join(VARIANTS)}")
    return VARIANTS[config]

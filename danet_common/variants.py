"""Named configurations.

The ResNet variants are the authors' published setting: plain stem, output stride 8, multi-grid
(layer4 dilations 4, 8, 16), corner-aligned upsampling. The DRANets are the same authors' (their
README's command): deep stem, the same multi-grid, auxiliary head, no classifiers on the branches.
`danet_tiny` is for tests and demonstrations.
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

VARIANTS: dict[str, DANetConfig] = {
    "danet_tiny": DANetConfig(
        block="basic", layers=(1, 1, 1, 2), widths=(8, 12, 16, 32), stem_widths=(8,), head_channels=24, query_channels=6
    ),
    "danet_r18": DANetConfig(block="basic", layers=(2, 2, 2, 2), multi_grid=(1, 2, 4)),
    "danet_r34": DANetConfig(block="basic", layers=(3, 4, 6, 3), multi_grid=(1, 2, 4)),
    "danet_r50": DANetConfig(layers=(3, 4, 6, 3), multi_grid=(1, 2, 4)),
    "danet_r101": DANetConfig(layers=(3, 4, 23, 3), multi_grid=(1, 2, 4)),
    "danet_r152": DANetConfig(layers=(3, 8, 36, 3), multi_grid=(1, 2, 4)),
    "dranet_r50": DRANET,
    "dranet_r101": DRANET.replace(layers=(3, 4, 23, 3)),
}


def get_config(config: DANetConfig | str) -> DANetConfig:
    """A config as it is, or the named variant's. Raises ValueError for an unknown name."""
    if isinstance(config, DANetConfig):
        return config
    if config not in VARIANTS:
        raise ValueError(f"unknown variant {config!r}; known: {', '.join(VARIANTS)}")
    return VARIANTS[config]

"""The configuration of a network. With a set of tensors it rebuilds the network in any of the three frameworks.

Each field exists because a published checkpoint differs in it; the comment beside it says which.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from danet_common.config.former_names import right_names
from danet_common.config.typed_json import from_json, require, require_choice

Block = Literal["basic", "bottleneck"]
StemKind = Literal["plain", "deep"]
ContextKind = Literal[
    "position",
    "channel",
    "squeeze_excitation",
    "cbam",
    "bam",
    "selective_kernel",
    "non_local",
    "self_attention",
    "joint_position",
    "joint_channel",
    "compact_position",
    "compact_channel",
    "criss_cross",
]
NonLocalForm = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
Decoder = Literal["sum", "gating"]
Auxiliary = Literal["none", "fcn", "linear"]
DropoutKind = Literal["channel", "element"]
UpsampleGrid = Literal["corners", "half_pixel", "asymmetric"]

EXPANSION = {"basic": 1, "bottleneck": 4}  # output channels of a block per unit of its width
MAXIMUM_BLOCKS = 10_000  # of a network; a damaged file may have any number
MAXIMUM_CLASSES = 65_536  # labels have at most 16 bits
LONGEST_CLASS_NAME = 200  # letters; the longest of ADE20K's has 98
LONGEST_GRID = 1_000  # factors; longer than any stage
LARGEST = sys.float_info.max  # of a number that a config can have: JSON has no infinity, but whole numbers beyond
FROM_THE_DATA = ("num_classes", "class_names", "palette")  # fields that training takes from the data set
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class DANetConfig:
    """The fields of a DANet or a related network. Raises ValueError, naming the field, for an invalid value."""

    # Backbone: a dilated ResNet (He et al., 2016; Yu et al., 2017).
    block: Block = "bottleneck"
    layers: tuple[int, int, int, int] = (3, 4, 6, 3)  # blocks in layer1..layer4
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: StemKind = "plain"  # plain: one 7x7; deep: three 3x3 (Encoding, mmseg V1c, Paddle vd)
    stem_widths: tuple[int, ...] = (64,)  # deep: 64,64,128 (Encoding) or 32,32,64 (mmseg, Paddle)
    avg_down: bool = False  # 2x2 average pool before a strided shortcut (ResNet-D, Paddle vd)
    avg_down_dilated: bool = False  # and, at stride 1, where dilation replaces the stride (timm's d)
    output_stride: Literal[8, 16, 32] = 8
    multi_grid: tuple[int, ...] | None = None  # factors on layer4's dilation; the authors' 4,8,16 is 1,2,4
    contract_dilation: bool = True  # the first block of a dilated stage uses half (Paddle: the whole)

    # Head (Fu et al., 2019).
    context: tuple[ContextKind, ...] = ("position", "channel")  # a branch for each; one or none: the paper's ablation
    # Channels for each hidden one where they are weighed; 16 in the papers of squeeze_excitation, cbam, bam and
    # selective_kernel. Channels for each centre of compact_channel; 16 in the authors' DRANet.
    reduction: int = 16
    non_local_form: NonLocalForm = "embedded_gaussian"  # of the paper's four, its default
    non_local_pooled: bool = False  # its sub-sampling: keys and values are maxima of 2x2 positions
    head_channels: int | None = None  # None: a quarter of layer4's
    # Of self_attention's values too. None: an eighth of head_channels; with compact_position a quarter (DRANet).
    query_channels: int | None = None
    # sum: of the branches; gating: the branches are concatenated and joined with layer1 (Fu et al., TNNLS 2020);
    # with the two compact contexts that is DRANet.
    decoder: Decoder = "sum"
    branch_classifiers: bool = True  # Tramac's networks trained without aux have none
    auxiliary: Auxiliary = "none"  # fcn: 3x3 and 1x1 on layer3 (mmseg); linear: 1x1 on layer4 (Paddle)
    auxiliary_channels: int = 256
    dropout: DropoutKind = "channel"  # channel: Dropout2d (authors, mmseg, Paddle); element: Tramac
    dropout_rate: float = 0.1
    upsample_grid: UpsampleGrid = "corners"  # half_pixel: mmseg; asymmetric: Paddle's align_mode=1

    # Input and output.
    num_classes: int = 19
    in_channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN  # of pixel / 255, per input channel, RGB
    std: tuple[float, ...] = IMAGENET_STD
    class_names: tuple[str, ...] | None = None
    palette: tuple[tuple[int, int, int], ...] | None = None  # RGB, 0..255; None: see palettes.py

    # Batch normalisation, in torch's sense of momentum.
    batch_norm_epsilon: float = 1e-5
    batch_norm_momentum: float = 0.1

    def __post_init__(self) -> None:
        def check(name: str, holds: bool, condition: str) -> None:
            require(holds, name, condition, getattr(self, name))

        for name, choices in CHOICES.items():
            require_choice(name, getattr(self, name), choices)
        for name in ("layers", "widths"):
            check(name, len(getattr(self, name)) == 4 and min(getattr(self, name)) >= 1, "four positive integers")
        check("layers", sum(self.layers) <= MAXIMUM_BLOCKS, f"at most {MAXIMUM_BLOCKS} blocks together")
        count = {"plain": 1, "deep": 3}[self.stem]
        positive = len(self.stem_widths) == count and min(self.stem_widths) >= 1
        check("stem_widths", positive, f"{count} positive integers in a {self.stem} stem")
        grid = self.multi_grid
        check("multi_grid", grid is None or (len(grid) > 0 and min(grid) >= 1), "None or positive factors")
        if grid is not None and len(grid) > LONGEST_GRID:
            raise ValueError(f"multi_grid must have at most {LONGEST_GRID} factors; got {len(grid)}")
        kinds = get_args(ContextKind)
        known = set(self.context) <= set(kinds) and len(set(self.context)) == len(self.context) <= 2
        check("context", known, f"at most two different kinds of {', '.join(kinds)}")
        for name in ("num_classes", "in_channels", "auxiliary_channels", "reduction"):
            check(name, getattr(self, name) >= 1, "at least 1")
        check("num_classes", self.num_classes <= MAXIMUM_CLASSES, f"at most {MAXIMUM_CLASSES}")
        longest = max(map(len, self.class_names or ()), default=0)
        if longest > LONGEST_CLASS_NAME:
            raise ValueError(f"class_names must have at most {LONGEST_CLASS_NAME} letters each; one has {longest}")
        for name in ("head_channels", "query_channels"):
            check(name, getattr(self, name) is None or getattr(self, name) >= 1, "None or at least 1")
        check("dropout_rate", 0 <= self.dropout_rate < 1, "in [0, 1)")
        check("batch_norm_momentum", 0 < self.batch_norm_momentum <= 1, "in (0, 1]")
        check("batch_norm_epsilon", self.batch_norm_epsilon > 0, "positive")
        for name in ("mean", "std"):
            values = f"{self.in_channels} values, as many as in_channels"
            check(name, len(getattr(self, name)) == self.in_channels, values)
        check("std", min(self.std) > 0, "positive")
        if not all(abs(number) <= LARGEST for number in (*self.mean, *self.std, self.batch_norm_epsilon)):
            raise ValueError("mean, std and batch_norm_epsilon must be finite")
        for name in ("class_names", "palette"):
            entries = self.num_classes if getattr(self, name) is None else len(getattr(self, name))
            if entries != self.num_classes:
                raise ValueError(f"{name} must have num_classes = {self.num_classes} entries; got {entries}")
        in_range = all(0 <= part <= 255 for colour in self.palette or () for part in colour)
        check("palette", in_range, "of colours of 0..255")

    @property
    def stage_channels(self) -> tuple[int, int, int, int]:
        """Output channels of layer1..layer4."""
        layer1, layer2, layer3, layer4 = (width * EXPANSION[self.block] for width in self.widths)
        return layer1, layer2, layer3, layer4

    @property
    def stage_strides(self) -> tuple[int, int, int, int]:
        """Stride of the first block of layer1..layer4; the stem has taken 4."""
        return {8: (1, 2, 1, 1), 16: (1, 2, 2, 1), 32: (1, 2, 2, 2)}[self.output_stride]

    @property
    def shortcut_pools(self) -> tuple[int, ...]:
        """Stride of the 2x2 average pool on the shortcut of the first block of layer1..layer4; 0: no pool."""
        pools, channels = [], self.stage_channels
        for index, (stride, natural_stride) in enumerate(zip(self.stage_strides, (1, 2, 2, 2), strict=True)):
            dilated = stride < natural_stride and channels[index] != channels[index - 1]  # and projected
            pooled = self.avg_down and (stride == 2 or (dilated and self.avg_down_dilated))
            pools.append(stride if pooled else 0)
        return tuple(pools)

    @property
    def block_dilations(self) -> tuple[tuple[int, ...], ...]:
        """Dilation of the 3x3 convolutions of each block, by stage."""
        stages = []
        before = 1
        for index, (blocks, natural_stride) in enumerate(zip(self.layers, (4, 8, 16, 32), strict=True)):
            dilation = max(1, natural_stride // self.output_stride)  # makes up for the stride not taken
            stage = [dilation] * blocks
            if index == 3 and self.multi_grid is not None:
                stage = [dilation * self.multi_grid[i % len(self.multi_grid)] for i in range(blocks)]
            elif self.contract_dilation:
                stage[0] = before
            before = dilation
            stages.append(tuple(stage))
        return tuple(stages)

    @property
    def inner_channels(self) -> int:
        """Channels of the head's branches (the paper's C)."""
        return self.head_channels or max(1, self.stage_channels[3] // 4)

    @property
    def attention_channels(self) -> int:
        """Channels of query and key."""
        return self.query_channels or max(1, self.inner_channels // (4 if "compact_position" in self.context else 8))

    @property
    def fused_channels(self) -> int:
        """Channels of the features that the fused classifier sees."""
        return max(1, self.inner_channels // 2) if self.decoder == "gating" else self.inner_channels

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the logits that the network returns, the prediction first."""
        return ("fused", *(self.context if self.branch_classifiers else ())) + ("aux",) * (self.auxiliary != "none")

    def branches_of(self, outputs: Collection[str]) -> tuple[ContextKind, ...]:
        """Return the branches of `context` that these outputs need; the fused output needs all."""
        return tuple(branch for branch in self.context if branch in outputs or "fused" in outputs)

    def replace(self, **changes: Any) -> DANetConfig:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, JSON-ready: tuples as lists."""
        return {field.name: _listed(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> DANetConfig:
        """Return the config of `to_dict`'s fields, or of an older version's; absent fields take their defaults.

        Raises ValueError for unknown fields.
        """
        unknown = sorted(map(str, set(cls.from_old_fields(fields)) - HINTS.keys()))
        if unknown:
            raise ValueError(f"unknown config fields: {', '.join(unknown)}")
        return from_json(cls, fields)

    @staticmethod
    def from_old_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of any version as today's; values of wrong types stay.

        `context` replaces two former switches, and class names are put in the order of their labels.
        """
        fields, names = dict(fields), fields.get("class_names")
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            fields["class_names"] = right_names(tuple(names))
        switches = {"position_attention": "position", "channel_attention": "channel"}
        given = {name: value for name, value in fields.items() if name in switches}
        if not given or "context" in fields or any(type(value) is not bool for value in given.values()):
            return fields
        kinds = tuple(kind for name, kind in switches.items() if given.get(name, True))
        return {name: value for name, value in fields.items() if name not in given} | {"context": kinds}


HINTS = get_type_hints(DANetConfig)
CHOICES: dict[str, tuple[Any, ...]] = {
    "block": get_args(Block),
    "stem": get_args(StemKind),
    "output_stride": (8, 16, 32),
    "decoder": get_args(Decoder),
    "auxiliary": get_args(Auxiliary),
    "dropout": get_args(DropoutKind),
    "upsample_grid": get_args(UpsampleGrid),
    "non_local_form": get_args(NonLocalForm),
    "non_local_pooled": (False, True),
    "avg_down": (False, True),
    "avg_down_dilated": (False, True),
    "contract_dilation": (False, True),
    "branch_classifiers": (False, True),
}


def check_form(form: str) -> None:
    """Raise ValueError unless this is a form of the non-local block."""
    require_choice("form", form, get_args(NonLocalForm))


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value

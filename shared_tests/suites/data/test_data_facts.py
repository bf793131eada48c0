"""Names, colours and ids of the published data sets, against the published lists.

A digest is the first 16 digits of the SHA-256 of the upstream project's lines, as `digest` writes them.
"""

from __future__ import annotations

import hashlib

import pytest

from danet_common import DANetConfig
from danet_common.config.classes import voc_colour_map
from danet_common.config.former_names import FORMER_59
from danet_common.data.ade20k import ADE20K
from danet_common.data.camvid import CAMVID
from danet_common.data.cityscapes import CITYSCAPES, IDS
from danet_common.data.coco_stuff import COCO_STUFF, UNUSED, USED
from danet_common.data.pascal import PASCAL_CONTEXT_59, PASCAL_CONTEXT_60, PASCAL_VOC
from weights_convert.schemas.mmseg_metadata import from_metadata

# Ids of the 459 classes' list (cs.stanford.edu/~roozbeh/pascal-context, labels.txt) that the 59 are chosen from, in the
# order in which mmsegmentation's converter lists them (tools/convert_datasets/pascal_context.py at 159db2f).
CONTEXT_IDS = """
    2 aeroplane, 259 mountain, 260 mouse, 415 track, 324 road, 9 bag, 258 motorbike, 144 fence, 18 bed, 19 bedclothes,
    22 bench, 23 bicycle, 397 table, 25 bird, 284 person, 158 floor, 159 flower, 416 train, 33 book, 162 food, 420 tree,
    454 window, 295 plate, 296 platform, 427 tvmonitor, 44 building, 45 bus, 46 cabinet, 308 pottedplant, 59 car,
    440 wall, 445 water, 31 boat, 232 light, 65 cat, 354 sidewalk, 424 truck, 68 ceiling, 326 rock, 72 chair, 458 wood,
    34 bottle, 207 horse, 80 cloth, 355 sign, 85 computer, 347 sheep, 220 keyboard, 349 shelves, 360 sky, 98 cow,
    187 grass, 104 cup, 105 curtain, 366 snow, 189 ground, 368 sofa, 113 dog, 115 door
"""


def digest(*lines: str) -> str:
    """Return the digest of lines, without their ends."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def test_pascal_context_is_in_the_order_of_its_ids() -> None:
    """A label file holds the place of the id among the sorted ids."""
    by_id = dict(line.split() for line in CONTEXT_IDS.split(","))
    names = tuple(by_id[number] for number in sorted(by_id, key=int))
    assert names == PASCAL_CONTEXT_59.names
    assert ("background", *names) == PASCAL_CONTEXT_60.names
    assert voc_colour_map(60) == PASCAL_CONTEXT_60.colours == ((0, 0, 0), *PASCAL_CONTEXT_59.colours)


def test_names_that_were_in_a_wrong_order_are_put_right() -> None:
    """Config files and mmsegmentation's meta with VOC's 20 classes first: 54 of the 60 names were wrong."""
    for former, right in ((FORMER_59, PASCAL_CONTEXT_59), (("background", *FORMER_59), PASCAL_CONTEXT_60)):
        assert sorted(former) == sorted(right.names)
        assert sum(ours != theirs for ours, theirs in zip(former, right.names, strict=True)) == 54
        fields = DANetConfig(num_classes=len(former)).to_dict()
        assert DANetConfig.from_dict(fields | {"class_names": list(former)}).class_names == right.names
        assert DANetConfig.from_dict(fields | {"class_names": list(right.names)}).class_names == right.names
        assert from_metadata({"meta": {"CLASSES": list(former)}})["class_names"] == right.names
        others = ("a", *former[1:])
        assert DANetConfig.from_dict(fields | {"class_names": list(others)}).class_names == others


def test_ade20k() -> None:
    """CSAILVision/sceneparsing at e202229: first names of objectInfo150.txt, visualizationCode/color150.mat."""
    first = ("television" if name == "television receiver" else name for name in ADE20K.names)  # as mmsegmentation
    assert digest(*first) == "ffd47f2fcbad6c48"
    assert digest(*(" ".join(map(str, colour)) for colour in ADE20K.colours)) == "7d6ac2551a6c668d"


def test_coco_stuff() -> None:
    """nightrome/cocostuff at 876a7db, labels.txt without 'unlabeled' and the 11 that no picture has: id and name."""
    assert digest(*(f"{value + 1} {name}" for value, name in zip(USED, COCO_STUFF.names, strict=True))) == (
        "c03a13c1d45df251"
    )
    assert sorted((*USED, *UNUSED)) == list(range(182))


def test_cityscapes() -> None:
    """mcordts/cityscapesScripts at 0bcc4a7, helpers/labels.py: id, trainId, name and colour."""
    rows = zip(IDS, CITYSCAPES.names, CITYSCAPES.colours, strict=True)
    lines = [f"{number} {label} {name} {r} {g} {b}" for label, (number, name, (r, g, b)) in enumerate(rows)]
    assert digest(*lines) == "ca975d0ca131c08f"


def test_camvid() -> None:
    """alexgkendall/SegNet-Tutorial at bb68b64, Scripts/test_segmentation_camvid.py: label_colours in its order."""
    lines = [
        f"{name.replace(' ', '')} {r} {g} {b}" for name, (r, g, b) in zip(CAMVID.names, CAMVID.colours, strict=True)
    ]
    assert lines == [
        "sky 128 128 128", "building 128 0 0", "pole 192 192 128", "road 128 64 128", "pavement 60 40 222",
        "tree 128 128 0", "signsymbol 192 128 128", "fence 64 64 128", "car 64 0 128", "pedestrian 64 64 0",
        "bicyclist 0 128 192",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "name", "colour"),
    [
        (0, "background", (0, 0, 0)), (1, "aeroplane", (128, 0, 0)), (8, "cat", (64, 0, 0)), (9, "chair", (192, 0, 0)),
        (15, "person", (192, 128, 128)), (20, "tvmonitor", (0, 64, 128)),
    ],
)  # fmt: skip
def test_pascal_voc(label: int, name: str, colour: tuple[int, int, int]) -> None:
    """The development kit's VOClabelcolormap.m, and the alphabet within its groups of classes."""
    assert (PASCAL_VOC.names[label], PASCAL_VOC.colours[label]) == (name, colour)
    assert list(PASCAL_VOC.names[1:]) == sorted(PASCAL_VOC.names[1:])

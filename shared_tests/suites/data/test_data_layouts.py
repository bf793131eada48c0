"""Data sets in the layouts in which people have them: small trees of each are written and opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danet_common.config import DANetConfig
from danet_common.config.classes import voc_colour_map
from danet_common.config.palettes import palette_of
from danet_common.data import DataError, open_dataset

SIZE = (4, 6)  # height, width


def write_image(path: Path, height: int = SIZE[0], width: int = SIZE[1]) -> None:
    """A picture whose pixels are all different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    Image.fromarray(pixels).save(path)


def write_labels(path: Path, *values: int, palette: bool = False, height: int = SIZE[0], width: int = SIZE[1]) -> None:
    """A label file that begins with these values and goes on with the last of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width), values[-1], np.uint8)
    pixels.reshape(-1)[: len(values)] = values
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([channel for colour in voc_colour_map(256) for channel in colour])
    image.save(path)


def write_list(path: Path, *lines: str) -> None:
    """A file of names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def labels_of(spec: str, split: str, index: int = 0) -> list[int]:
    """The first labels of an item, after the whole split was found in order."""
    dataset = open_dataset(spec, split)
    dataset.check()
    sample = dataset.item(index)
    assert sample.image.shape == (*sample.labels.shape, 3)
    assert sample.image.dtype == sample.labels.dtype == np.uint8
    assert sample.name == dataset.item_names[index]
    return sample.labels.reshape(-1)[:4].tolist()


@pytest.mark.parametrize(("kind", "values"), [("labelIds", (7, 33, 0, 255)), ("labelTrainIds", (0, 18, 255, 255))])
def test_cityscapes(kind: str, values: tuple[int, ...], tmp_path: Path) -> None:
    for city in ("ulm", "aachen"):
        write_image(tmp_path / f"leftImg8bit/train/{city}/{city}_0_leftImg8bit.png")
        write_labels(tmp_path / f"gtFine/train/{city}/{city}_0_gtFine_{kind}.png", *values)
        write_labels(tmp_path / f"gtFine/train/{city}/{city}_0_gtFine_instanceIds.png", 3)
    dataset = open_dataset(f"cityscapes:{tmp_path}", "train")
    assert dataset.item_names == ("aachen_0_leftImg8bit", "ulm_0_leftImg8bit")
    assert dataset.num_classes == 19
    assert labels_of(f"cityscapes:{tmp_path}", "train") == [0, 18, 255, 255]
    with pytest.raises(DataError, match="no leftImg8bit/val"):
        open_dataset(f"cityscapes:{tmp_path}", "val")


@pytest.mark.parametrize("home", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_pascal_voc(home: str, tmp_path: Path) -> None:
    root = tmp_path / home
    for name in ("a", "b"):
        write_image(root / f"JPEGImages/{name}.jpg")
    write_labels(root / "SegmentationClass/a.png", 0, 20, 255, 1, palette=True)
    write_list(root / "ImageSets/Segmentation/train.txt", "a")
    assert labels_of(f"voc:{tmp_path}", "train") == [0, 20, 255, 1]
    with pytest.raises(DataError, match=r"val\.txt"):
        open_dataset(f"voc:{tmp_path}", "val")


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("trainaug.txt", ["a", "b"]),
        ("train_aug.txt", [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in "ba"]),
        ("aug.txt", ["b"]),
    ],
)
def test_pascal_voc_with_sbd(file: str, lines: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"JPEGImages/{name}.jpg")
    write_labels(tmp_path / "SegmentationClass/a.png", 5, 5, 5, 5, palette=True)
    write_labels(tmp_path / "SegmentationClassAug/b.png", 6, 6, 6, 6)
    write_list(tmp_path / "ImageSets/Segmentation/train.txt", "a")
    write_list(tmp_path / f"ImageSets/Segmentation/{file}", *lines)
    assert labels_of(f"voc:{tmp_path}", "train_aug", 0) == [5] * 4
    assert labels_of(f"voc:{tmp_path}", "train_aug", 1) == [6] * 4


@pytest.mark.parametrize(
    ("name", "image", "label", "colours", "labels"),
    [
        ("voc", "JPEGImages/a.jpg", "SegmentationClass/a.png", ((0, 0, 0), (0, 64, 128), (224, 224, 192)),
         [0, 20, 255]),
        ("camvid", "val/a.png", "valannot/a.png", ((128, 128, 128), (0, 128, 192), (0, 0, 0)), [0, 10, 255]),
        ("ade20k", "images/validation/a.jpg", "annotations/validation/a.png",
         ((120, 120, 120), (92, 0, 255), (0, 0, 0)), [0, 149, 255]),
    ],
)  # fmt: skip
def test_masks_in_the_data_sets_own_colours(
    name: str, image: str, label: str, colours: tuple[tuple[int, int, int], ...], labels: list[int], tmp_path: Path
) -> None:
    write_image(tmp_path / image)
    write_list(tmp_path / "ImageSets/Segmentation/val.txt", "a")
    (tmp_path / label).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(colours, np.uint8)[np.arange(24).reshape(4, 6) % 3]).save(tmp_path / label)
    assert labels_of(f"{name}:{tmp_path}", "val")[:3] == labels


def test_vocs_own_labels_stay_where_sbd_has_some_too(tmp_path: Path) -> None:
    """SBD's have no border of void; mmsegmentation and PaddleSeg take them for the pictures that VOC has not."""
    for name, value in (("a", 6), ("b", 7)):
        write_image(tmp_path / f"JPEGImages/{name}.jpg")
        write_labels(tmp_path / f"SegmentationClassAug/{name}.png", value)
    write_labels(tmp_path / "SegmentationClass/a.png", 5, 255)
    write_list(tmp_path / "ImageSets/Segmentation/train.txt", "a")
    for file, lines in (("aug.txt", ["b"]), ("trainaug.txt", ["b", "a"])):
        write_list(tmp_path / "ImageSets/Segmentation" / file, *lines)
        assert labels_of(f"voc:{tmp_path}", "train_aug", 0) == [5, 255, 255, 255]
        assert labels_of(f"voc:{tmp_path}", "train_aug", 1) == [7] * 4


@pytest.mark.parametrize("home", ["", "ADEChallengeData2016"])
def test_ade20k(home: str, tmp_path: Path) -> None:
    write_image(tmp_path / home / "images/validation/ADE_val_00000001.jpg")
    write_labels(tmp_path / home / "annotations/validation/ADE_val_00000001.png", 0, 1, 150, 3)
    assert labels_of(f"ade20k:{tmp_path}", "val") == [255, 0, 149, 2]
    dataset = open_dataset(f"ade20k:{tmp_path}", "val")
    assert (dataset.num_classes, len(set(dataset.names)), dataset.names[149]) == (150, 150, "flag")
    assert palette_of(DANetConfig(num_classes=150)) == dataset.palette


@pytest.mark.parametrize(("classes", "expected"), [(60, [0, 1, 59, 7]), (59, [255, 0, 58, 6])])
def test_pascal_context(classes: int, expected: list[int], tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit/VOC2010"
    write_image(root / "JPEGImages/a.jpg")
    write_labels(root / "SegmentationClassContext/a.png", 0, 1, 59, 7)
    write_list(root / "ImageSets/SegmentationContext/train.txt", "a")
    assert labels_of(f"pascal-context-{classes}:{tmp_path}", "train") == expected
    dataset = open_dataset(f"pascal-context-{classes}:{tmp_path}", "train")
    assert (dataset.num_classes, len(set(dataset.names)), dataset.names[-1]) == (classes, classes, "wood")


def test_pascal_context_as_paddleseg_converts_it(tmp_path: Path) -> None:
    write_image(tmp_path / "JPEGImages/a.jpg")
    write_labels(tmp_path / "Context/a.png", 0, 2)
    write_list(tmp_path / "ImageSets/Segmentation/val_context.txt", "a")
    assert labels_of(f"pascal-context-60:{tmp_path}", "val") == [0, 2, 2, 2]
    assert open_dataset(f"pascal-context-60:{tmp_path}", "val").names[2] == "bag"


@pytest.mark.parametrize("split", ["train", "test"])
def test_coco_stuff_10k(split: str, tmp_path: Path) -> None:
    write_image(tmp_path / f"images/{split}2014/a.jpg")
    write_labels(tmp_path / f"annotations/{split}2014/a_labelTrainIds.png", 0, 1, 171, 255)
    assert labels_of(f"coco-stuff-10k:{tmp_path}", split) == [255, 0, 170, 255]
    assert open_dataset(f"coco-stuff-10k:{tmp_path}", split).names[170] == "wood"
    with pytest.raises(DataError, match=r"no split 'val'; there are train, test$"):
        open_dataset(f"coco-stuff-10k:{tmp_path}", "val")


@pytest.mark.parametrize("labels", ["annotations", "stuffthingmaps"])
@pytest.mark.parametrize("images", ["images/", ""])
def test_coco_stuff(images: str, labels: str, tmp_path: Path) -> None:
    write_image(tmp_path / f"{images}val2017/000000000139.jpg")
    write_labels(tmp_path / f"{labels}/val2017/000000000139.png", 0, 12, 181, 255)
    write_labels(tmp_path / f"{labels}/val2017/000000000139_labelTrainIds.png", 1)  # not read: the published are there
    assert labels_of(f"coco-stuff:{tmp_path}", "val") == [0, 11, 170, 255]


def test_coco_stuff_as_mmsegmentation_converts_it(tmp_path: Path) -> None:
    write_image(tmp_path / "images/train2017/a.jpg")
    write_labels(tmp_path / "annotations/train2017/a_labelTrainIds.png", 0, 11, 170, 255)
    assert labels_of(f"coco-stuff:{tmp_path}", "train") == [0, 11, 170, 255]
    dataset = open_dataset(f"coco-stuff:{tmp_path}", "train")
    assert (len(set(dataset.names)), dataset.names[0], dataset.names[80], dataset.names[170]) == (
        171, "person", "banner", "wood"
    )  # fmt: skip


@pytest.mark.parametrize(("images", "labels"), [("val/images", "val/labels"), ("val", "valannot")])
def test_camvid(images: str, labels: str, tmp_path: Path) -> None:
    write_image(tmp_path / images / "0016E5_07959.jpg")
    write_labels(tmp_path / labels / "0016E5_07959.png", 0, 10, 11, 255)
    assert labels_of(f"camvid:{tmp_path}", "val") == [0, 10, 255, 255]


def test_camvid_in_colours_of_32_classes_is_a_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "train/a.png")
    write_labels(tmp_path / "train_labels/a_L.png", 0)
    with pytest.raises(DataError, match=f"train_labels are colours; folder:{tmp_path} reads them"):
        open_dataset(f"camvid:{tmp_path}", "train")


@pytest.mark.parametrize("layout", ["train/{}", "{}/train", "{}"])
def test_folder(layout: str, tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "open water", "", "land 10 20 30", "7 1 2 3")
    write_image(tmp_path / layout.format("images") / "a.PNG")
    write_labels(tmp_path / layout.format("labels") / "a.png", 0, 2, 1, 255)
    assert labels_of(f"folder:{tmp_path}", "train") == [0, 2, 1, 255]
    dataset = open_dataset(f"folder:{tmp_path}", "train")
    assert dataset.names == ("open water", "land", "7")
    assert dataset.palette == ((0, 0, 0), (10, 20, 30), (1, 2, 3))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [(["a", "b", "a"], "a is there twice"), ([""], "from 1 to 255"), (["a"] * 256, "got 256")],
)
def test_folder_needs_its_classes_said(lines: list[str], reason: str, tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png")
    write_labels(tmp_path / "labels/a.png", 0)
    with pytest.raises(DataError, match=r"no classes\.txt"):
        open_dataset(f"folder:{tmp_path}", "train")
    write_list(tmp_path / "classes.txt", *lines)
    with pytest.raises(DataError, match=reason):
        open_dataset(f"folder:{tmp_path}", "train")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_lists_are_utf8_with_or_without_its_mark(encoding: str, tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt")
    (tmp_path / "classes.txt").write_text("café 1 2 3\r\nland\r\n", encoding=encoding)
    write_image(tmp_path / "images/a.png")
    write_labels(tmp_path / "labels/a.png", 0, 1)
    if encoding == "latin-1":
        with pytest.raises(DataError, match=r"classes\.txt: not a readable list of names"):
            open_dataset(f"folder:{tmp_path}", "train")
        return
    dataset = open_dataset(f"folder:{tmp_path}", "train")
    assert dataset.names == ("café", "land")
    assert dataset.palette[0] == (1, 2, 3)


def test_254_is_a_class_where_there_are_255(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", *map(str, range(255)))
    write_image(tmp_path / "images/a.png")
    write_labels(tmp_path / "labels/a.png", 0, 253, 254, 255)
    assert labels_of(f"folder:{tmp_path}", "train") == [0, 253, 254, 255]


@pytest.mark.parametrize(
    ("spec", "split", "reason"),
    [
        ("imagenet:/x", "train", "unknown data set 'imagenet'; known: ade20k:PATH"),
        ("camvid", "train", "camvid needs a place: camvid:PATH"),
        ("camvid:", "train", "camvid:PATH"),
        ("camvid:/nowhere", "train", "/nowhere: no such folder"),
        ("voc:/nowhere", "test", "voc: there is no split 'test'; there are train, val, trainval, train_aug"),
        ("scenes", "dev", "no split 'dev'"),
        ("scenes:0", "train", "at least 1; got 0"),
        ("scenes:-3", "train", "a whole number; got '-3'"),
    ],
)
def test_a_wrong_spec_says_what_is_wanted(spec: str, split: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        open_dataset(spec, split)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["ade20k", "camvid", "cityscapes", "coco-stuff", "folder", "pascal-context-59", "voc"])
def test_a_wrong_folder_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path}: no {name} data set: there is no"):
        open_dataset(f"{name}:{tmp_path}", "train")

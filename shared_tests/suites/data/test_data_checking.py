"""Errors in data are reported before training starts, with the file."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danet_common.data import DataError, open_dataset
from shared_tests.suites.data.test_data_layouts import write_image, write_labels, write_list

ROTATED = 6  # EXIF orientation: the first row is the right side


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of five good items of three classes."""
    write_list(tmp_path / "classes.txt", "a", "b", "c")
    for index in range(5):
        write_image(tmp_path / f"images/{index}.png")
        write_labels(tmp_path / f"labels/{index}.png", 0, 1, 2, 255)
    return tmp_path


def errors(folder: Path, limit: int | None = None) -> tuple[str, ...]:
    """Return the errors of checking a folder. Reading the first wrong item raises the same."""
    dataset = open_dataset(f"folder:{folder}", "train")
    with pytest.raises(DataError) as error:
        dataset.check(limit)
    wrong = [index for index, name in enumerate(dataset.item_names) if f"/{name}.png" in error.value.errors[0]]
    with pytest.raises(DataError) as alone:
        dataset.item(wrong[0])
    assert alone.value.errors[0].partition(":")[0] == error.value.errors[0].partition(":")[0]
    return error.value.errors


def test_good_data_pass(folder: Path) -> None:
    open_dataset(f"folder:{folder}", "train").check()


def test_a_missing_label_is_named(folder: Path) -> None:
    (folder / "labels/3.png").unlink()
    assert errors(folder) == (f"{folder}/labels/3.png: no such label file",)


def test_a_misshapen_label_is_named_with_both_sizes(folder: Path) -> None:
    write_image(folder / "images/2.png", 4, 7)
    assert errors(folder) == (f"{folder}/labels/2.png: 6x4 labels for the 7x4 image {folder}/images/2.png",)


@pytest.mark.parametrize("value", [4, 254])
def test_a_class_out_of_range_is_named_with_its_pixels(value: int, folder: Path) -> None:
    write_labels(folder / "labels/1.png", value, value, 0)
    expected = f"{folder}/labels/1.png: class id out of range: {value} (2 px); known are 0-2, 255; "
    expected += f"--set label_map={value}:CLASS, or :void, says what {value} means"
    assert errors(folder) == (expected,)


def test_ids_that_a_data_set_never_uses_are_out_of_range(tmp_path: Path) -> None:
    write_image(tmp_path / "images/val2017/a.jpg")
    write_labels(tmp_path / "annotations/val2017/a.png", 11)  # street sign: in COCO's list, in no picture
    with pytest.raises(DataError, match=r"out of range: 11 \(24 px\); known are 0-10, 12-24, "):
        open_dataset(f"coco-stuff:{tmp_path}", "val").check()


def test_labels_are_one_number_a_pixel(folder: Path) -> None:
    Image.new("CMYK", (6, 4)).save(folder / "labels/0.tif")
    (folder / "labels/0.png").unlink()
    dataset = open_dataset(f"folder:{folder}", "train")
    with pytest.raises(DataError, match=r"0\.tif: labels must be one byte a pixel, a class number; this file is CMYK"):
        dataset.check()


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_of_fewer_bits_are_refused(bits: int, folder: Path) -> None:
    """Pillow stretches them to 0..255: 1 of 4 bits would be class 17 of a data set that has so many."""
    path = folder / "labels/0.png"
    path.write_bytes(grey_png(4, 6, bits))
    assert errors(folder) == (f"{path}: labels must be one byte a pixel; this file has {bits} bits of grey",)
    write_list(folder / "classes.txt", *map(str, range(200)))
    assert len(errors(folder)) == 1


def grey_png(height: int, width: int, bits: int) -> bytes:
    """A PNG whose pixels are all 1, which Pillow would not write with 2 or 4 bits."""
    row = b"\0" + bytes([int(f"{1:0{bits}b}" * (8 // bits), 2)]) * -(-width * bits // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * height)), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_black_and_white_labels_are_two_classes(folder: Path) -> None:
    bits = np.arange(24).reshape(4, 6) % 2
    Image.fromarray(bits.astype(np.uint8) * 255).convert("1").save(folder / "labels/0.png")
    dataset = open_dataset(f"folder:{folder}", "train")
    dataset.check()
    assert np.array_equal(dataset.item(0).labels, bits)


def test_damaged_files_are_named(folder: Path) -> None:
    (folder / "labels/0.png").write_bytes((folder / "labels/0.png").read_bytes()[:50])
    (folder / "labels/1.png").write_bytes(b"no image")
    (folder / "images/2.png").write_bytes(b"no image")
    actual = errors(folder)
    assert [Path(error.partition(":")[0]).name for error in actual] == ["0.png", "1.png", "2.png"]
    assert "not a readable label file" in actual[0]
    assert "not an image" in actual[2]


def test_all_faults_are_listed_the_first_in_one_line(folder: Path) -> None:
    for index in range(1, 4):
        (folder / f"labels/{index}.png").unlink()
    dataset = open_dataset(f"folder:{folder}", "train")
    with pytest.raises(DataError) as error:
        dataset.check()
    assert str(error.value).splitlines() == [
        f"{folder}/labels/1.png: no such label file",
        "2 further errors:",
        f"  {folder}/labels/2.png: no such label file",
        f"  {folder}/labels/3.png: no such label file",
    ]
    assert pickle.loads(pickle.dumps(error.value)).errors == error.value.errors  # as loading processes hand it over


def test_many_faults_are_counted() -> None:
    lines = str(DataError(*(f"error {index}" for index in range(30)))).splitlines()
    assert lines[0] == "error 0"
    assert lines[-1] == "  ... and 9 more"


def test_the_first_are_checked_where_only_they_are_used(folder: Path) -> None:
    for index in range(1, 5):
        (folder / f"labels/{index}.png").unlink()
    open_dataset(f"folder:{folder}", "train").check(1)
    assert [Path(error.partition(":")[0]).stem for error in errors(folder, limit=3)] == ["1", "2"]
    assert len(errors(folder, limit=100)) == 4


def test_a_rotated_photograph_is_compared_upright(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    Image.fromarray(np.zeros((6, 4, 3), np.uint8)).save(folder / "images/0.png", exif=exif)
    dataset = open_dataset(f"folder:{folder}", "train")
    dataset.check()
    assert dataset.item(0).image.shape == (4, 6, 3)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_it_is_as_reading_turns_it(ending: str, folder: Path) -> None:
    """By EXIF, which TIFF files have as tags of their own, or by XMP alone."""
    exif, xmp = Image.Exif(), b'<x tiff:Orientation="6"/>'
    exif[0x0112] = ROTATED
    lying = Image.fromarray(np.zeros((6, 4, 3), np.uint8))
    (folder / "images/0.png").unlink()
    for options in ({"exif": exif}, {"xmp": xmp}) if ending in ("jpg", "webp") else ({"exif": exif},):
        lying.save(folder / f"images/0.{ending}", **options)
        dataset = open_dataset(f"folder:{folder}", "train")
        dataset.check()
        assert dataset.item(0).image.shape == (4, 6, 3)


def test_grey_images_are_read_as_rgb(folder: Path) -> None:
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(folder / "images/0.png")
    dataset = open_dataset(f"folder:{folder}", "train")
    dataset.check()
    assert np.array_equal(dataset.item(0).image, np.full((4, 6, 3), 9))


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    write_image(folder / "images/0.jpg")
    with pytest.raises(DataError, match="more than one image is called 0"):
        open_dataset(f"folder:{folder}", "train")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "a")
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    with pytest.raises(DataError, match="there are no images"):
        open_dataset(f"folder:{tmp_path}", "train")


def test_an_image_that_a_list_names_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    write_labels(tmp_path / "SegmentationClass/a.png", 0)
    write_list(tmp_path / "ImageSets/Segmentation/train.txt", "a")
    with pytest.raises(DataError, match=r"JPEGImages/a\.jpg: no such file"):
        open_dataset(f"voc:{tmp_path}", "train").check()

"""Label files as people have them: each gives the right classes, or one line that says what to do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danet_common.config.typed_json import from_json
from danet_common.data import DataError, LabelSettings, open_dataset
from danet_common.data.label_check import absent_remark
from danet_common.data.label_settings import parse_label_map
from danet_common.data.label_table import LabelTable, plain_table, with_colours
from danet_common.data.labels import open_labels
from shared_tests.suites.data.test_data_layouts import write_image, write_list

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6) % 3  # three classes
SKY, ROAD, CAR = (128, 128, 128), (128, 64, 128), (64, 0, 128)
COLOURS = np.array([SKY, ROAD, CAR], np.uint8)
PLAIN = plain_table(3)
COLOURED = with_colours(PLAIN, [SKY, ROAD, CAR])


def save(path: Path, pixels: np.ndarray, palette: Sequence[tuple[int, ...]] | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette([part for colour in palette for part in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def read_labels(path: Path, table: LabelTable) -> np.ndarray:
    return open_labels(path, table).labels()


def fault(path: Path, table: LabelTable) -> str:
    with pytest.raises(DataError) as error:
        read_labels(path, table)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def folder_of(tmp_path: Path, *labels: np.ndarray, classes: Sequence[str] = ("background", "foreground")) -> str:
    write_list(tmp_path / "classes.txt", *classes)
    for index, pixels in enumerate(labels):
        write_image(tmp_path / f"images/{index}.png")
        save(tmp_path / f"labels/{index}.png", pixels)
    return f"folder:{tmp_path}"


# One file.


@pytest.mark.parametrize(
    "pixels",
    [PIXELS, PIXELS.astype(np.uint16), np.stack([PIXELS] * 3, axis=2), np.stack([PIXELS, PIXELS * 0 + 255], axis=2)],
    ids=["grey", "16 bits", "RGB", "grey and alpha"],
)
def test_numbers_in_other_modes_are_the_same_numbers(pixels: np.ndarray, tmp_path: Path) -> None:
    assert np.array_equal(read_labels(save(tmp_path / "a.png", pixels), PLAIN), PIXELS)


@pytest.mark.parametrize("ending", ["bmp", "tif", "gif", "pgm"])
def test_lossless_formats_are_read(ending: str, tmp_path: Path) -> None:
    assert np.array_equal(read_labels(save(tmp_path / f"a.{ending}", PIXELS), PLAIN), PIXELS)


@pytest.mark.parametrize(("ending", "name"), [("jpg", "JPEG"), ("webp", "WEBP"), ("tif", "JPEG in TIFF")])
def test_formats_with_loss_are_refused(ending: str, name: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"a.{ending}", PIXELS, compression="jpeg")
    assert f"{name} changes class numbers" in fault(path, PLAIN)


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.stack([PIXELS, PIXELS * 100], axis=2))
    assert "no transparent pixels" in fault(path, PLAIN)


def test_more_than_one_picture_in_a_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", PIXELS, save_all=True, append_images=[Image.fromarray(PIXELS)])
    assert "must hold one picture; this one holds 2" in fault(path, PLAIN)


def test_instance_numbers_of_16_bits_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", PIXELS.astype(np.uint16) * 256 + 1)
    assert "class id out of range: 257 (8 px), 513 (8 px); known are 0-2, 255" in fault(path, PLAIN)


def test_colours_are_read_by_the_table(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLOURS[PIXELS])
    assert np.array_equal(read_labels(path, COLOURED), PIXELS)
    assert "labels in colour, and no class has a colour; give classes.csv" in fault(path, PLAIN)


def test_an_unknown_colour_is_named_with_its_pixels(tmp_path: Path) -> None:
    pixels = COLOURS[PIXELS]
    pixels[0, :2] = (128, 66, 128)
    text = fault(save(tmp_path / "a.png", pixels), COLOURED)
    assert "colours of no class, or of two: (128, 66, 128) (2 px); give each class" in text


def test_a_colour_of_two_classes_is_named(tmp_path: Path) -> None:
    table = with_colours(PLAIN, [SKY, ROAD, SKY])
    assert "or of two: (128, 128, 128) (8 px), " in fault(save(tmp_path / "a.png", COLOURS[PIXELS]), table)


def test_an_index_counts_where_the_palette_says_nothing_else(tmp_path: Path) -> None:
    for palette in ([SKY, ROAD, CAR], [(0, 0, 0), (128, 0, 0), (0, 128, 0)], [(9, 9, 9), (7, 8, 9), (1, 2, 3)]):
        path = save(tmp_path / "a.png", PIXELS, palette)
        for table in (PLAIN, COLOURED):
            assert np.array_equal(read_labels(path, table), PIXELS)


def test_a_palettes_colours_count_where_it_holds_nothing_else(tmp_path: Path) -> None:
    """Colours of quantised RGB, in an order of their own."""
    path = save(tmp_path / "a.png", 2 - PIXELS, [CAR, ROAD, SKY])
    assert np.array_equal(read_labels(path, COLOURED), PIXELS)
    path = save(tmp_path / "b.png", PIXELS + 10, [(0, 0, 0)] * 10 + [SKY, ROAD, CAR])
    assert np.array_equal(read_labels(path, COLOURED), PIXELS)


def test_a_palette_that_may_mean_both_is_refused_until_the_user_says(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 2 - PIXELS, [CAR, ROAD, SKY, (1, 2, 3)])
    assert "the indices say classes 0, 1, 2, the colours 2, 1, 0; --set palette_labels=index" in fault(path, COLOURED)
    by_index = COLOURED.with_settings("x", 3, LabelSettings(palette_labels="index"))
    by_colour = COLOURED.with_settings("x", 3, LabelSettings(palette_labels="colour"))
    assert np.array_equal(read_labels(path, by_index), 2 - PIXELS)
    assert np.array_equal(read_labels(path, by_colour), PIXELS)


def test_grey_that_an_optimiser_made_a_palette_of_is_not_read_by_its_indices(tmp_path: Path) -> None:
    table = plain_table(12)
    greys = [(0, 0, 0), (7, 7, 7), (11, 11, 11)]
    assert "the colours 0, 7, 11" in fault(save(tmp_path / "a.png", PIXELS, greys), table)
    assert np.array_equal(read_labels(save(tmp_path / "a.gif", np.array([0, 7, 11], np.uint8)[PIXELS]), table),
                          np.array([0, 7, 11])[PIXELS])  # fmt: skip
    assert "the colours 0, 7, 11" in fault(tmp_path / "a.png", with_colours(table, [(9, 8, 7)] * 12))
    black_and_white = save(tmp_path / "b.png", PIXELS % 2, [(0, 0, 0), (255, 255, 255)])
    assert np.array_equal(read_labels(black_and_white, table), PIXELS % 2)


# A folder.


def test_masks_of_0_and_255_are_refused_until_the_user_says_what_255_is(tmp_path: Path) -> None:
    mask = (PIXELS > 0).astype(np.uint8)
    spec = folder_of(tmp_path, mask * 255, mask * 0)
    with pytest.raises(DataError) as error:
        open_dataset(spec, "train").check()
    assert "hold nothing but 0 and 255" in str(error.value)
    assert "--set label_map=255:1 makes it foreground; --set label_map=255:void keeps it void" in str(error.value)
    assert "\n" not in str(error.value)
    dataset = open_dataset(spec, "train", LabelSettings(label_map=((255, 1),)))
    counts = dataset.check()
    assert np.array_equal(dataset.item(0).labels, mask)
    assert counts is not None
    assert (counts.pixels, counts.void) == ((32, 16), 0)
    assert absent_remark("x", dataset.names, counts) is None
    void = open_dataset(spec, "train", LabelSettings(label_map=((255, 255),)))
    counts = void.check()
    assert counts is not None
    assert absent_remark("x", void.names, counts) == (
        "x: 1 of 2 classes in no label: foreground; nothing can be told apart"
    )


@pytest.mark.parametrize(
    ("classes", "advice"), [(("a",), "name the background first"), (("a", "b", "c"), "label_map=255:CLASS makes it")]
)
def test_with_another_number_of_classes_the_advice_is_another(
    classes: Sequence[str], advice: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=advice):
        open_dataset(folder_of(tmp_path, (PIXELS > 0).astype(np.uint8) * 255, classes=classes), "train").check()


def test_labels_that_are_void_everywhere_are_refused(tmp_path: Path) -> None:
    spec = folder_of(tmp_path, PIXELS * 0 + 255)
    with pytest.raises(DataError, match="all pixels of 1 label file are void: nothing to learn or judge; --set label"):
        open_dataset(spec, "train").check()


def test_labels_that_count_from_1(tmp_path: Path) -> None:
    spec = folder_of(tmp_path, PIXELS, PIXELS.clip(1))
    with pytest.raises(DataError) as error:
        open_dataset(spec, "train").check()
    assert "numbers up to 2, for 2 classes: --set reduce_zero_label=true where they count" in error.value.errors[0]
    dataset = open_dataset(spec, "train", LabelSettings(reduce_zero_label=True))
    dataset.check()
    assert np.array_equal(dataset.item(0).labels, np.array([255, 0, 1])[PIXELS])
    write_image(tmp_path / "train/images/a.png")
    save(tmp_path / "train/labels/a.png", PIXELS)
    with pytest.raises(DataError, match=r"reduce_zero_label is for folder:PATH"):
        open_dataset(f"camvid:{tmp_path}", "train", LabelSettings(reduce_zero_label=True))


def test_a_list_that_counts_from_1_for_labels_that_count_from_0(tmp_path: Path) -> None:
    spec = folder_of(tmp_path, PIXELS % 2, classes=("1 a", "2 b"))
    with pytest.raises(DataError, match="numbers them from 1, and the labels hold 0 to 1: leave the numbers out"):
        open_dataset(spec, "train").check()
    write_list(tmp_path / "classes.txt", "0 a", "255 b")
    open_dataset(folder_of(tmp_path, PIXELS % 2 * 255, classes=("0 a", "255 b")), "train").check()


def test_a_class_that_never_occurs_is_named(tmp_path: Path) -> None:
    dataset = open_dataset(folder_of(tmp_path, PIXELS + 1, classes=("void", "a", "b", "c")), "train")
    counts = dataset.check()
    assert counts is not None
    assert absent_remark("x", dataset.names, counts) == "x: 1 of 4 classes in no label: void"
    advice = "--set reduce_zero_label=true where the labels count from 1"
    assert str(absent_remark(dataset.title, dataset.names, counts)).endswith(f"in no label: void; {advice}")


def test_a_class_called_void_is_remarked_on(tmp_path: Path) -> None:
    messages: list[str] = []
    open_dataset(folder_of(tmp_path, PIXELS, classes=("a", "b", "Void")), "train").check(log=messages.append)
    assert len(messages) == 1
    assert "Void is learned as a class; --set label_map=2:void leaves its pixels out" in messages[0]


def test_a_void_class_is_named_by_its_number_in_the_files(tmp_path: Path) -> None:
    messages: list[str] = []
    spec = folder_of(tmp_path, PIXELS + 5, classes=("5 a", "6 b", "7 unlabelled"))
    open_dataset(spec, "train").check(log=messages.append)
    assert [note.partition("; ")[2] for note in messages] == ["--set label_map=7:void leaves its pixels out"]


def test_masks_in_colour_by_classes_csv(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_list(tmp_path / "class_dict.csv", "name,r,g,b", "sky,128,128,128", "road,128,64,128", "car,64,0,128")
    write_image(tmp_path / "train/0001.png")
    save(tmp_path / "train_labels/0001_L.png", COLOURS[PIXELS])
    dataset = open_dataset(f"folder:{tmp_path}", "train", LabelSettings(label_map=((2, 255),)))
    dataset.check()
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "label files are called as their images, and _L",
        "1 label file of 1 read by their colours",
    ]
    assert np.array_equal(dataset.item(0).labels, np.array([0, 1, 255])[PIXELS])
    assert dataset.palette == (SKY, ROAD, CAR)
    assert np.array_equal(pickle.loads(pickle.dumps(dataset)).item(0).labels, dataset.item(0).labels)


WHITE_ON_BLACK = ("name,r,g,b", "background,0,0,0", "foreground,255,255,255")
BLACK_ON_WHITE = (WHITE_ON_BLACK[0], *reversed(WHITE_ON_BLACK[1:]))
MASK = (PIXELS > 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("classes", "settings", "expected"),
    [
        (WHITE_ON_BLACK, LabelSettings(), [0, 1]),
        (BLACK_ON_WHITE, LabelSettings(), [1, 0]),
        (WHITE_ON_BLACK, LabelSettings(label_map=((1, 255),)), [0, 255]),
        (WHITE_ON_BLACK, LabelSettings(label_map=((255, 1),)), [0, 1]),
        (WHITE_ON_BLACK, LabelSettings(label_map=((255, 255),)), [0, 255]),
    ],
)
def test_grey_masks_by_the_greys_that_classes_have(
    classes: tuple[str, ...], settings: LabelSettings, expected: list[int], tmp_path: Path
) -> None:
    spec = folder_of(tmp_path, MASK * 255, MASK * 0, classes=classes)
    dataset = open_dataset(spec, "train", settings)
    dataset.check(log=lambda note: None)
    assert np.array_equal(dataset.item(0).labels, np.array(expected)[MASK])
    assert np.array_equal(dataset.item(1).labels, np.array(expected)[MASK * 0])


def test_numbers_where_classes_have_greys(tmp_path: Path) -> None:
    dataset = open_dataset(folder_of(tmp_path, MASK, MASK * 0, classes=WHITE_ON_BLACK), "train")
    messages: list[str] = []
    dataset.check(log=messages.append)
    assert (messages, dataset.item(0).labels.tolist()) == ([], MASK.tolist())
    spec = folder_of(tmp_path, MASK, MASK * 255, classes=WHITE_ON_BLACK)
    with pytest.raises(DataError, match=r"hold colours of classes, such as .*1.png, and some numbers, such as .*0.png"):
        open_dataset(spec, "train").check()


def test_a_label_map_of_a_value_that_is_nowhere_is_said(tmp_path: Path) -> None:
    messages: list[str] = []
    settings = LabelSettings(label_map=((1, 0), (254, 1)))
    open_dataset(folder_of(tmp_path, MASK), "train", settings).check(log=messages.append)
    assert messages == [f"folder:{tmp_path} train: label_map has no effect on 254: no label file holds it"]


def test_numbers_and_colours_in_one_folder_are_refused(tmp_path: Path) -> None:
    classes = ("a 128 128 128", "b 128 64 128", "c 64 0 128")
    spec = folder_of(tmp_path, COLOURS[PIXELS], np.stack([PIXELS] * 3, axis=2), classes=classes)
    with pytest.raises(DataError, match="some label files hold colours of classes"):
        open_dataset(spec, "train").check()


# Settings.


def test_a_label_map_in_words() -> None:
    assert parse_label_map("255:1, 7:void,3:255") == ((255, 1), (7, 255), (3, 255))
    settings = LabelSettings(label_map=((255, 1), (7, 255)), reduce_zero_label=True)
    assert settings.assignments == ["label_map=255:1,7:void", "reduce_zero_label=true"]
    assert from_json(LabelSettings, json.loads(json.dumps(settings.to_dict()))) == settings
    assert from_json(LabelSettings, {}) == LabelSettings()


@pytest.mark.parametrize("text", ["", "255", "255:x", "255:1:2", "-1:0", "a:b", "255=1"])
def test_a_label_map_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 255:1 or 7:void"):
        parse_label_map(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_map": ((1, 2), (1, 3))}, "the file value 1 twice"),
        ({"label_map": ((70000, 2),)}, "from 0 to 65535"),
        ({"label_map": ((1, 256),)}, "from 0 to 254"),
        ({"label_map": ((1, True),)}, "label_map must be"),
        ({"label_map": [[1, 2]]}, "label_map must be"),
        ({"reduce_zero_label": 1}, "true or false"),
        ({"palette_labels": "both"}, "auto, index, colour"),
        ({"label_orientation": None}, "auto, upright, stored"),
    ],
)
def test_settings_that_mean_nothing(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSettings(**changes)  # type: ignore[arg-type]


def test_a_label_map_to_a_class_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label_map=255:2: there is no such class; classes are 0 to 1, or void"):
        open_dataset(folder_of(tmp_path, PIXELS), "train", LabelSettings(label_map=((255, 2),)))
    with pytest.raises(DataError, match=r"scenes has no label files; leave out label_map=255:1"):
        open_dataset("scenes", "train", LabelSettings(label_map=((255, 1),)))

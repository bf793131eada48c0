"""Folders as people have them: every picture and every label file is read, or named and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from danet_common.data import DataError, LabelSettings, open_dataset
from shared_tests.suites.data.test_data_layouts import labels_of, write_image, write_labels, write_list

ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one good item, z, of two classes."""
    write_list(tmp_path / "classes.txt", "a", "b")
    add(tmp_path, "z")
    return tmp_path


def add(root: Path, name: str, ending: str = "png", label: str | None = None) -> None:
    """An item whose first labels are 1, 0, 255."""
    write_image(root / f"images/{name}.{ending}")
    write_labels(root / f"labels/{label or name + '.png'}", 1, 0, 255)


def check(folder: Path, split: str = "train", settings: LabelSettings | None = None) -> tuple[list[str], list[str]]:
    """The items' names, and what is remarked on, without the folder's place."""
    messages: list[str] = []
    dataset = open_dataset(f"folder:{folder}", split, settings or LabelSettings())
    dataset.check(log=messages.append)
    for index in range(len(dataset)):
        assert dataset.item(index).labels.reshape(-1)[:3].tolist() == [1, 0, 255]
    return list(dataset.item_names), [message.replace(f"{folder}/", "") for message in messages]


def refusal(folder: Path, split: str = "train") -> str:
    with pytest.raises(DataError) as error:
        open_dataset(f"folder:{folder}", split).check()
    assert len(error.value.errors) == 1
    return str(error.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("ending", ["jfif", "JPG", "gif", "avif", "ppm", "Tiff"])
def test_pictures_of_all_endings_are_read(ending: str, folder: Path) -> None:
    (folder / "images").joinpath(f"a.{ending}").touch()
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    picture.save(folder / f"images/a.{ending}", "JPEG" if ending == "jfif" else None)
    write_labels(folder / "labels/a.png", 1, 0, 255)
    assert check(folder) == (["a", "z"], [])


@pytest.mark.parametrize("label", ["a.PNG", "a.bmp", "a.tif", "a.TIFF"])
def test_labels_of_all_lossless_endings_are_read(label: str, folder: Path) -> None:
    add(folder, "a", label=label)
    assert check(folder) == (["a", "z"], [])


def test_a_jpeg_of_labels_is_refused(folder: Path) -> None:
    add(folder, "a", label="a.jpg")
    assert refusal(folder) == "labels/a.jpg: JPEG changes class numbers; save labels without loss, as PNG"


def test_folders_within_folders(folder: Path) -> None:
    add(folder, "one/a")
    add(folder, "two/a", ending="jpg")
    assert check(folder) == (["one/a", "two/a", "z"], [])


def test_what_systems_leave_is_no_data(folder: Path) -> None:
    for name in ("images/._z.png", "labels/._z.png", "images/Thumbs.db", "images/.DS_Store", "labels/desktop.ini",
                 "images/__MACOSX/z.png"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    assert check(folder) == (["z"], [])


def test_pictures_that_cannot_be_read_are_refused_if_they_have_labels_else_counted(folder: Path) -> None:
    (folder / "images/a.heic").write_bytes(b"1")
    (folder / "images/readme.md").write_bytes(b"1")
    message = "images: 2 files left out, as no picture that is read: a.heic, readme.md"
    assert check(folder) == (["z"], [message])
    write_labels(folder / "labels/a.png", 0)
    assert (
        refusal(folder) == "images: 1 picture that cannot be read, though with labels: a.heic; convert to JPEG or PNG"
    )


def test_labels_without_a_picture_are_counted(folder: Path) -> None:
    for name in "abcde":
        write_labels(folder / f"labels/{name}.png", 0)
    assert check(folder) == (["z"], ["labels: 5 label files without a picture: a.png, b.png, c.png and 2 more"])


@pytest.mark.parametrize("suffix", ["_mask", "_labelIds", "_L", "-seg", ".label", "_gtFine_labelIds"])
def test_a_suffix_of_all_label_files_is_read_and_said(suffix: str, folder: Path) -> None:
    (folder / "labels/z.png").rename(folder / f"labels/z{suffix}.png")
    add(folder, "z2", label=f"z2{suffix}.png")
    assert check(folder) == (["z", "z2"], [f"labels: label files are called as their images, and {suffix}"])


def test_two_kinds_of_label_files_are_refused(folder: Path) -> None:
    (folder / "labels/z.png").rename(folder / "labels/z_mask.png")
    write_labels(folder / "labels/z_edges.png", 0)
    expected = "labels: each image has more than one label file, _edges, _mask behind its name; keep one kind there"
    assert refusal(folder) == expected
    (folder / "labels/z_mask.png").rename(folder / "labels/z.png")  # the exact name decides
    assert check(folder) == (["z"], [])
    write_labels(folder / "labels/z.bmp", 0)
    assert "has 2 label files, z.bmp, z.png; keep one" in refusal(folder)


def test_folders_that_links_lead_to_are_read_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    add(elsewhere, "a")
    for kind in ("images", "labels"):
        (folder / kind / "more").symlink_to(elsewhere / kind)
        (folder / kind / "again").symlink_to(folder / kind)
    assert check(folder) == (["more/a", "z"], [])


def test_label_files_of_other_names_are_refused_with_an_example_of_each(folder: Path) -> None:
    (folder / "images/z.png").rename(folder / "images/z_image.png")
    expected = "labels: no image has a label file: the images are called as z_image.png, the label files as z.png; "
    assert refusal(folder) == expected + "call each label file as its image"


@pytest.mark.parametrize("before", ["", "/", "./", "{folder}/"])
def test_a_list_of_pairs_from_the_folder_or_the_root(before: str, folder: Path) -> None:
    start = before.format(folder=folder)
    (folder / "train.txt").write_text(f"{start}images/z.png {start}labels/z.png\n")
    assert check(folder) == (["images/z"], [])


def test_a_missing_label_file_is_named(folder: Path) -> None:
    write_image(folder / "images/a.png")
    assert refusal(folder) == "labels/a.png: no such label file"


# Splits.


def test_a_split_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "a", "b")
    for split in ("train", "valid"):
        write_image(tmp_path / f"images/{split}/a.png")
        write_labels(tmp_path / f"labels/{split}/a.png", 1, 0, 255)
    assert check(tmp_path) == (["a"], [])
    assert refusal(tmp_path, "val").endswith("there is no split 'val'; there are train, valid")


@pytest.mark.parametrize("lines", [["z"], ["z.png"], ["images/z.png"], ["images/z.png labels/z.png"],
                                   ["images/z.png\tlabels/z.png"], ["/images/z.png,labels/z.png"]])  # fmt: skip
def test_a_splits_list_is_followed(lines: list[str], folder: Path) -> None:
    add(folder, "a")
    assert check(folder)[0] == ["a", "z"]
    write_list(folder / "train.txt", *lines)
    names = check(folder)[0]
    assert [name.removeprefix("images/") for name in names] == ["z"]
    assert refusal(folder, "val").endswith("there is no split 'val'; there are lists of train")
    write_list(folder / "train.txt", "nowhere")
    with pytest.raises(DataError, match="images/nowhere: no such image, though a list names it"):
        check(folder)


def test_camvid_as_its_copies_have_it(tmp_path: Path) -> None:
    write_list(tmp_path / "class_dict.csv", "name,r,g,b", "sky,1,2,3", "road,4,5,6")
    for split in ("train", "val"):
        write_image(tmp_path / f"{split}/a.png")
        pixels = np.array([[4, 5, 6], [1, 2, 3]], np.uint8)[np.arange(24).reshape(4, 6) % 2]
        (tmp_path / f"{split}_labels").mkdir()
        Image.fromarray(pixels).save(tmp_path / f"{split}_labels/a_L.png")
    assert labels_of(f"folder:{tmp_path}", "val") == [1, 0, 1, 0]


def test_two_lists_of_classes_are_refused(folder: Path) -> None:
    write_list(folder / "classes.csv", "name,r,g,b", "a,1,2,3", "b,4,5,6")
    assert "classes.txt and classes.csv list the classes; keep one of them" in refusal(folder)
    (folder / "classes.txt").unlink()
    assert open_dataset(f"folder:{folder}", "train").palette == ((1, 2, 3), (4, 5, 6))


def test_trainval_is_train_and_val(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "a", "b")
    for split in ("train", "val"):
        write_image(tmp_path / f"{split}/images/both.png")
        write_labels(tmp_path / f"{split}/labels/both.png", 1, 0, 255)
    write_image(tmp_path / "val/images/alone.png")
    write_labels(tmp_path / "val/labels/alone.png", 1, 0, 255)
    assert check(tmp_path, "trainval") == (["train/both", "alone", "val/both"], [])
    dataset = open_dataset(f"folder:{tmp_path}", "trainval")
    counts = dataset.check()
    assert counts is not None
    assert (sum(counts.pixels), counts.void) == (6, 66)
    assert [dataset.item(index).name for index in (0, -1)] == ["train/both", "val/both"]
    assert len(open_dataset("scenes:3", "trainval")) == 6


@pytest.mark.parametrize(
    ("name", "image", "label", "value"),
    [
        ("cityscapes", "leftImg8bit/{}/ulm/{}_leftImg8bit.png", "gtFine/{}/ulm/{}_gtFine_labelIds.png", 7),
        ("camvid", "{}/images/{}.png", "{}/labels/{}.png", 0),
        ("coco-stuff", "images/{}2017/{}.jpg", "annotations/{}2017/{}.png", 0),
    ],
)
def test_published_sets_have_trainval_too(name: str, image: str, label: str, value: int, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / image.format(split, f"{split}1"))
        write_labels(tmp_path / label.format(split, f"{split}1"), value)
    dataset = open_dataset(f"{name}:{tmp_path}", "trainval")
    dataset.check()
    assert [item[:4].strip("1") for item in dataset.item_names] == ["trai", "val"]
    with pytest.raises(DataError, match=r"no split 'dev'; there are .*trainval"):
        open_dataset(f"{name}:{tmp_path}", "dev")


# Pictures that are stored on their side.


def turned_item(folder: Path, orientation: int, height: int, width: int, upright: bool) -> np.ndarray:
    """A picture with an EXIF orientation, and labels on it as it is seen or as it is stored; the right labels."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = (np.arange(height * width).reshape(height, width) % 2).astype(np.uint8)
    stored[0, 0] = 1
    path = folder / "images/z.png"
    Image.fromarray(np.stack([stored * 200] * 3, axis=2)).save(path, exif=exif)
    with Image.open(path) as image:
        right = np.asarray(ImageOps.exif_transpose(image))[..., 0] // 200
    Image.fromarray(right if upright else stored).save(folder / "labels/z.png")
    return right


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("upright", [True, False])
def test_labels_are_turned_as_their_sizes_tell(orientation: int, upright: bool, folder: Path) -> None:
    right = turned_item(folder, orientation, 3, 5, upright)
    messages: list[str] = []
    dataset = open_dataset(f"folder:{folder}", "train")
    dataset.check(log=messages.append)
    sample = dataset.item(0)
    assert np.array_equal(sample.labels, right)
    assert np.array_equal(sample.image[..., 0] // 200, right)
    assert len(messages) == (not upright)
    assert all("1 label file turned upright with the EXIF orientation" in message for message in messages)


@pytest.mark.parametrize(("orientation", "height"), [(2, 3), (3, 3), (4, 3), (5, 5), (6, 5), (8, 5)])
@pytest.mark.parametrize("upright", [True, False])
def test_where_the_sizes_do_not_tell_the_user_does(orientation: int, height: int, upright: bool, folder: Path) -> None:
    right = turned_item(folder, orientation, height, 5, upright)
    expected = f"images/z.png: has the EXIF orientation {orientation}, and its size does not tell how its labels lie"
    assert expected in refusal(folder)
    settings = LabelSettings(label_orientation="upright" if upright else "stored")
    dataset = open_dataset(f"folder:{folder}", "train", settings)
    dataset.check()
    assert np.array_equal(dataset.item(0).labels, right)
    assert np.array_equal(dataset.item(0).image[..., 0] // 200, right)


def test_a_label_file_with_an_orientation_is_refused(folder: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(folder / "labels/z.png", exif=exif)
    assert "a label file must have no EXIF orientation" in refusal(folder)


def test_pictures_of_12_bits_are_refused_before_training(folder: Path) -> None:
    Image.fromarray(np.full((4, 6), 4000, np.uint16)).save(folder / "images/z.png")
    assert "look like 12 bits" in refusal(folder)
    Image.fromarray(np.full((4, 6), 40000, np.uint16)).save(folder / "images/z.png")
    assert check(folder) == (["z"], [])

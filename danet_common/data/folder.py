"""Anyone's own images and labels.

    PATH/classes.txt                          the classes, in the order of the labels; or classes.csv, class_dict.csv,
                                              classes.json, labelmap.txt, in the forms of class_list.py
    PATH/{train,val,...}/{images,labels}/*    or PATH/{images,labels}/{train,val,...}/*
    PATH/{train,val,...}/*                    with PATH/{train,val,...}_labels/*, as CamVid's copies have it
    PATH/{images,labels}/*                    with PATH/{train,val,...}.txt, a list of names or pairs of paths
    PATH/{images,labels}/*                    without splits: every split is the whole

A label file has its image's name, and lies at the same place in its folder; a pixel is 0 for the first class, 1 for
the second, 255 for void, or the colour of a class that has one.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.data.class_list import ClassList, read_class_list
from danet_common.data.dataset import DataError
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import LabelTable, label_table, with_colours
from danet_common.data.listing import IMAGE_ENDINGS, first_path, list_entries
from danet_common.data.pairing import pair_files

LAYOUTS = ("{split}/{kind}", "{kind}/{split}", "{kind}")
LABELS_BESIDE = ("{split}_labels", "{split}annot", "{split}_masks")  # with the images in {split} itself
IMAGES = ("images", "img_dir", "imgs")
LABELS = ("labels", "masks", "ann_dir", "annotations")
CLASS_FILES = ("classes.txt", "classes.csv", "class_dict.csv", "classes.json", "labelmap.txt")
LISTS = ("{split}.txt", "ImageSets/Segmentation/{split}.txt", "splits/{split}.txt")
SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing", "trainval")


def open_folder(root: Path, split: str) -> FileDataset:
    """One split. Raises DataError where the classes are not said, or where more than one thing may be meant."""
    images, labels, list_file = _places(root, split)
    found = _class_list(root)
    title = f"folder:{root} {split}"
    table = _table(found)
    if list_file is None:
        pairing = pair_files(images, labels)
        return FileDataset(title, found.classes, pairing.pairs, table, pairing.remarks, own=True)
    entries = list_entries(list_file)
    if any(label is not None for _, label in entries):
        pairs = [_listed(root, list_file, image, label) for image, label in entries]
        return FileDataset(title, found.classes, pairs, table, own=True)
    pairing = pair_files(images, labels, [_place_within(images, image) for image, _ in entries])
    return FileDataset(title, found.classes, pairing.pairs, table, pairing.remarks, own=True)


def has_split(root: Path, split: str) -> bool:
    """True where a folder has its own split of that name, or no splits at all."""
    try:
        return bool(_places(root, split))
    except DataError:
        return False


def _place_within(images: Path, name: str) -> str:
    """A list's name of an image, without its ending and without the folder of the images."""
    ending = Path(name).suffix
    bare = name.removesuffix(ending) if ending.lower() in IMAGE_ENDINGS else name
    return bare.removeprefix("./").removeprefix(f"{images.name}/")


def _places(root: Path, split: str) -> tuple[Path, Path, Path | None]:
    """The folders of images and labels, and the split's list where it has one."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for layout in LAYOUTS:
        here = [root / layout.format(split=split, kind=kind) for kind in IMAGES]
        images = next((place for place in here if place.is_dir()), None)
        if images is None:
            continue
        list_file = _list_file(root, split) if layout == "{kind}" else None
        if layout == "{kind}":
            _require_unsplit(root, images, split)
        return images, _labels(root, [layout.format(split=split, kind=kind) for kind in LABELS]), list_file
    beside = [root / layout.format(split=split) for layout in LABELS_BESIDE]
    labels = [place for place in beside if place.is_dir()]
    if labels and (root / split).is_dir():
        return root / split, labels[0], None
    splits = sorted(place.name for place in root.iterdir() if any((place / kind).is_dir() for kind in IMAGES))
    if splits:
        raise DataError(f"{root}: there is no split {split!r}; there are {', '.join(splits)}")
    wanted = [layout.format(split=split, kind="images") for layout in LAYOUTS]
    return first_path("folder", root, wanted), root, None


def _labels(root: Path, candidates: list[str]) -> Path:
    """The one folder of labels. Raises DataError where there is none, or more than one."""
    found = [candidate for candidate in candidates if (root / candidate).is_dir()]
    if len(found) > 1:
        raise DataError(f"{root}: labels in {found[0]} or in {found[1]}? Keep one of the two folders there")
    return root / found[0] if found else first_path("folder", root, candidates[:1])


def _require_unsplit(root: Path, images: Path, split: str) -> None:
    """Raise DataError where folders of splits lie in the one of the images, and this split's is not among them."""
    splits = sorted(place.name for place in images.iterdir() if place.is_dir() and place.name in SPLIT_NAMES)
    if splits:
        raise DataError(f"{root}: there is no split {split!r}; there are {', '.join(splits)}")


def _list_file(root: Path, split: str) -> Path | None:
    """The list of a split. Raises DataError where there are lists, and none of this split."""
    for place in LISTS:
        path = root / place.format(split=split)
        if path.is_file():
            return path
    others = [name for place in LISTS for name in SPLIT_NAMES if (root / place.format(split=name)).is_file()]
    if others:
        raise DataError(f"{root}: there is no split {split!r}; there are lists of {', '.join(dict.fromkeys(others))}")
    return None


def _listed(root: Path, list_file: Path, image: str, label: str | None) -> Pair:
    """A pair of paths, from the data set's folder."""
    if label is None:
        raise DataError(f"{list_file}: {image!r} has no label file, and other lines have; write both paths in each")
    places = [_within(root, path) for path in (image, label)]
    return Pair(root / places[0], root / places[1], Path(places[0]).with_suffix("").as_posix())


def _within(root: Path, path: str) -> str:
    """A list's path from the data set's folder; it may begin with a slash, or with that folder."""
    for folder in (root, root.resolve()):
        path = path.removeprefix(f"{folder.as_posix()}/")
    return path.removeprefix("./").lstrip("/")


def _class_list(root: Path) -> ClassList:
    """The one list of classes, or more that say the same. Raises DataError where there is none, or two that differ."""
    paths = [root / name for name in CLASS_FILES if (root / name).exists()]
    if not paths:
        first_path("folder", root, CLASS_FILES)
    lists = [read_class_list(path) for path in paths]
    for path, other in zip(paths[1:], lists[1:], strict=True):
        if (other.classes.names, other.values) != (lists[0].classes.names, lists[0].values):
            raise DataError(f"{root}: {paths[0].name} and {path.name} name different classes; keep one of the two")
    return max(lists, key=lambda found: sum(colour is not None for colour in found.colours))


def _table(found: ClassList) -> LabelTable:
    """What the label files' values mean; 255 is void unless the list has a class of that number."""
    return with_colours(label_table({value: label for label, value in enumerate(found.values)}), found.colours)

"""Open a user's own folder of images and labels.

    PATH/classes.txt                          the classes, in the order of the labels; or classes.csv, class_dict.csv,
                                              classes.json, labelmap.txt, in the forms of class_list.py
    PATH/{train,val,...}/{images,labels}/*    or PATH/{images,labels}/{train,val,...}/*
    PATH/{train,val,...}/*                    with PATH/{train,val,...}_labels/*, as CamVid's copies have it
    PATH/{images,labels}/*                    with PATH/{train,val,...}.txt, a list of names or pairs of paths
    PATH/{images,labels}/*                    without splits: every split has all images

A label file has its image's name and its place in the folder. A pixel is 0 for the first class, 1 for the second, 255
for void, or the colour of a class.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.data.class_list import ClassList, read_class_list
from danet_common.data.dataset import DataError
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import label_table, with_colours
from danet_common.data.listing import IMAGE_ENDINGS, first_path, list_entries
from danet_common.data.pairing import Pairing, pair_files

LAYOUTS = ("{split}/{kind}", "{kind}/{split}", "{kind}")
LABELS_BESIDE = ("{split}_labels", "{split}annot", "{split}_masks")  # with the images in {split} itself
IMAGES = ("images", "img_dir", "imgs")
LABELS = ("labels", "masks", "ann_dir", "annotations")
CLASS_FILES = ("classes.txt", "classes.csv", "class_dict.csv", "classes.json", "labelmap.txt")
LISTS = ("{split}.txt", "ImageSets/Segmentation/{split}.txt", "splits/{split}.txt")
SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing", "trainval")


def open_folder(root: Path, split: str) -> FileDataset:
    """Open one split. Raises DataError if the classes are missing or the layout is ambiguous."""
    images, labels, list_file = _locate(root, split)
    class_list = _class_list(root)
    values = label_table({value: label for label, value in enumerate(class_list.values)})
    table = with_colours(values, class_list.colours)
    entries = None if list_file is None else list_entries(list_file)
    if list_file is not None and entries is not None and any(label is not None for _, label in entries):
        pairing = Pairing([_listed_pair(root, list_file, image, label) for image, label in entries], [])
    else:
        keep = None if entries is None else [_name_within(images, image) for image, _ in entries]
        pairing = pair_files(images, labels, keep)
    title = f"folder:{root} {split}"
    return FileDataset(title, class_list.classes, pairing.pairs, table, pairing.messages, user_data=True)


def has_split(root: Path, split: str) -> bool:
    """True if a folder has a split of that name, or no splits."""
    try:
        return bool(_locate(root, split))
    except DataError:
        return False


def _name_within(images: Path, name: str) -> str:
    """Return a list's name of an image without its ending and without the folder of the images."""
    ending = Path(name).suffix
    bare = name.removesuffix(ending) if ending.lower() in IMAGE_ENDINGS else name
    return bare.removeprefix("./").removeprefix(f"{images.name}/")


def _locate(root: Path, split: str) -> tuple[Path, Path, Path | None]:
    """Return the folders of images and labels, and the split's list file or None. Raises DataError."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for layout in LAYOUTS:
        folders = [root / layout.format(split=split, kind=kind) for kind in IMAGES]
        images = next((folder for folder in folders if folder.is_dir()), None)
        if images is None:
            continue
        list_file = None
        if layout == "{kind}":
            list_file = _list_file(root, split)
            _require_no_splits([folder for folder in images.iterdir() if folder.name in SPLIT_NAMES], root, split)
        return images, _label_folder(root, [layout.format(split=split, kind=kind) for kind in LABELS]), list_file
    labels = [root / layout.format(split=split) for layout in LABELS_BESIDE]
    labels = [folder for folder in labels if folder.is_dir()]
    if labels and (root / split).is_dir():
        return root / split, labels[0], None
    _require_no_splits(
        [place for place in root.iterdir() if any((place / kind).is_dir() for kind in IMAGES)], root, split
    )
    layouts = [layout.format(split=split, kind="images") for layout in LAYOUTS]
    return first_path("folder", root, layouts), root, None


def _label_folder(root: Path, candidates: list[str]) -> Path:
    """Return the only folder of labels. Raises DataError if there is none, or more than one."""
    folders = [candidate for candidate in candidates if (root / candidate).is_dir()]
    if len(folders) > 1:
        raise DataError(f"{root}: labels in {folders[0]} or in {folders[1]}? Keep one of the two folders there")
    return first_path("folder", root, folders or candidates[:1])


def _require_no_splits(places: list[Path], root: Path, split: str) -> None:
    """Raise DataError if there are folders of further splits."""
    splits = sorted(place.name for place in places if place.is_dir())
    if splits:
        raise DataError(f"{root}: there is no split {split!r}; there are {', '.join(splits)}")


def _list_file(root: Path, split: str) -> Path | None:
    """Return the list of a split, or None. Raises DataError if only further splits have lists."""
    for place in LISTS:
        path = root / place.format(split=split)
        if path.is_file():
            return path
    splits = [name for place in LISTS for name in SPLIT_NAMES if (root / place.format(split=name)).is_file()]
    if splits:
        raise DataError(f"{root}: there is no split {split!r}; there are lists of {', '.join(dict.fromkeys(splits))}")
    return None


def _listed_pair(root: Path, list_file: Path, image: str, label: str | None) -> Pair:
    """Return a list's pair of paths."""
    if label is None:
        raise DataError(f"{list_file}: {image!r} has no label file, and other lines have; write both paths in each")
    image, label = _path_within(root, image), _path_within(root, label)
    return Pair(root / image, root / label, Path(image).with_suffix("").as_posix())


def _path_within(root: Path, path: str) -> str:
    """Return a list's path relative to the data set's folder; it may begin with a slash or with that folder."""
    for folder in (root, root.resolve()):
        path = path.removeprefix(f"{folder.as_posix()}/")
    return path.removeprefix("./").lstrip("/")


def _class_list(root: Path) -> ClassList:
    """Return the list of classes. Raises DataError if there is none, or more than one."""
    names = [name for name in CLASS_FILES if (root / name).exists()]
    if len(names) > 1:
        raise DataError(f"{root}: {' and '.join(names)} list the classes; keep one of them")
    return read_class_list(first_path("folder", root, CLASS_FILES))

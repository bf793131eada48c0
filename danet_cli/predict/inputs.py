"""Find the images to predict: files, and all images in folders."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from danet_cli.console import CommandError, print_note
from danet_cli.output_paths import real_path
from danet_cli.predict.outputs import Outputs, is_predicted
from danet_common.data.listing import IMAGE_ENDINGS

NAMED = 5  # files that a note names


class InputImage(NamedTuple):
    """An image file, and its place below the output folder, without an ending."""

    path: Path
    target: Path


def find_images(paths: list[Path], out: Path) -> list[InputImage]:
    """Return the given files, and the images in the given folders and their subfolders, sorted by name.

    In a folder, an image has an image's ending, no name that begins with a dot, and was not predicted; a note counts
    the other files. Raises CommandError without an image, and for two images with the same target. Raises it too if
    `out` is one of the folders or contains some of their images.
    """
    inputs: list[InputImage] = []
    for path in paths:
        if not path.is_dir():
            inputs.append(InputImage(path, Path(path.stem)))
            continue
        images = images_below(path)
        place, folder = real_path(out), real_path(path)
        holds_images = folder in place.parents and any(place in real_path(image).parents for image in images)
        if holds_images or folder == place:
            raise CommandError(f"--out {out} is a folder of input images, and would hold masks too; choose another")
        inputs += [InputImage(image, image.relative_to(path).with_suffix("")) for image in images]
    if not inputs:
        raise CommandError(f"no image in {', '.join(map(str, paths))}; predicted masks and overlays do not count")
    require_different_targets(inputs)
    return inputs


def images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, without hidden ones. Note how many files are not images."""
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    images = [path for path in paths if path.is_file() and path.suffix.lower() in IMAGE_ENDINGS]
    left_out = [str(path.relative_to(folder)) for path in sorted({*paths} - {*images})]
    if left_out:
        more = ", ..." if len(left_out) > NAMED else ""
        print_note(f"{folder}: {len(left_out)} left out, not image files: {', '.join(left_out[:NAMED])}{more}")
    return [path for path in images if not is_predicted(path)]


def require_different_targets(inputs: list[InputImage]) -> None:
    """Raise CommandError where two images have the same target."""
    by_target: dict[Path, Path] = {}
    for path, target in inputs:
        first = by_target.setdefault(target, path)
        if first is not path:
            raise CommandError(f"{first} and {path} would both be written as {target}_mask.png; predict them apart")


def refuse_replacing(inputs: list[InputImage], outputs: Outputs) -> None:
    """Raise CommandError where an input would be replaced, or without --force a file of another program."""
    originals = {real_path(path): path for path, _ in inputs}
    for image, target in inputs:
        for kind, path in outputs.paths(target).items():
            original = originals.get(real_path(path))
            if original is not None:
                raise CommandError(f"{original} would be replaced by the {kind} of {image}; choose another --out")
            if not outputs.force and path.exists() and not is_predicted(path):
                raise CommandError(f"{path} exists, and danet predict did not write it; --force replaces it")

"""Finding the photographs that a command is given: files, and folders with all that is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from danet_cli.console import CommandError, print_note
from danet_cli.output_paths import real_path
from danet_cli.predict.outputs import is_predicted

NAMED = 5  # files of each reason that a note names


@dataclass(frozen=True)
class Photograph:
    """A file, and where what is made of it belongs: the folder within the one that was given, and the name."""

    path: Path
    folder: Path

    @property
    def target(self) -> Path:
        """Below the output folder, without an ending."""
        return self.folder / self.path.stem


def find_photographs(paths: list[Path], out: Path) -> list[Photograph]:
    """Files as they are, whether they can be read or not, and the images in folders and the folders in them, by name.

    In a folder only files with an image's ending count, none that begins with a dot, and none that was predicted.
    A note names and counts the others.
    Raises Unable where there is none, where two would be written under one name, and where `out` is one of the folders
    or has some of their images in it.
    """
    found: list[Photograph] = []
    for path in paths:
        if not path.is_dir():
            found.append(Photograph(path, Path()))
            continue
        images = images_below(path)
        say_left_out(path)
        within = real_path(path) in real_path(out).parents and any(
            real_path(out) in real_path(i).parents for i in images
        )
        if within or real_path(path) == real_path(out):
            raise CommandError(
                f"--out {out} is a folder of photographs too, and would hold masks among them; choose another"
            )
        found += [Photograph(image, image.relative_to(path).parent) for image in images]
    if not found:
        raise CommandError(f"no image in {', '.join(map(str, paths))}; what danet predict wrote does not count")
    refuse_same_targets(found)
    return found


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and in those within it, without what `danet predict` made of others."""
    return sorted(path for path in folder.rglob("*") if why_not(path, folder) is None)


def why_not(path: Path, folder: Path) -> str | None:
    """Why a path below a folder is none of its photographs; empty for what is not worth a word."""
    from danet_common.data.listing import IMAGE_ENDINGS

    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    pictured = path.suffix.lower() in IMAGE_ENDINGS
    if path.is_dir():
        return ""
    if hidden:
        return "hidden, as their names begin with a dot" if pictured else ""
    if not pictured:
        return "of an ending that no image here has"
    if not path.is_file():
        return "no regular files"
    return "" if is_predicted(path) else None


def say_left_out(folder: Path) -> None:
    """Note how many files of a folder are no photographs, by reason, and the first of their names."""
    by_reason: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        reason = why_not(path, folder)
        if reason:
            by_reason.setdefault(reason, []).append(str(path.relative_to(folder)))
    for reason, names in by_reason.items():
        more = ", ..." if len(names) > NAMED else ""
        print_note(f"{folder}: {len(names)} left out, {reason}: {', '.join(names[:NAMED])}{more}")


def refuse_same_targets(photographs: list[Photograph]) -> None:
    """Raise Unable where two photographs would be written under one name."""
    by_target: dict[Path, Path] = {}
    for photograph in photographs:
        other = by_target.setdefault(photograph.target, photograph.path)
        if other is not photograph.path:
            raise CommandError(
                f"{other} and {photograph.path} would both be written as {photograph.target}_mask.png; "
                "predict them apart"
            )

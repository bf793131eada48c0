"""The files that `danet predict` writes: their names, the mark by which they are known, and what they may replace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from danet_cli.console import CommandError
from danet_cli.output_paths import real_path
from danet_cli.own_files import software

if TYPE_CHECKING:
    from danet_cli.predict.inputs import Photograph

SOFTWARE = software("predict")  # PNG's Software text in each of them
KINDS = ("mask", "overlay", "side_by_side", "label_ids")


def kinds_of(beside: bool, label_ids: str | None) -> tuple[str, ...]:
    """What a command makes of each photograph. A benchmark's server takes nothing beside the label ids."""
    return KINDS[3:] if label_ids is not None else KINDS[:3] if beside else KINDS[:2]


def predicted_paths(target: Path, kinds: tuple[str, ...]) -> dict[str, Path]:
    """What is made of one photograph, by kind; `target` is its place without an ending."""
    return {kind: target.with_name(f"{target.name}_{kind}.png") for kind in kinds}


def is_predicted(path: Path) -> bool:
    """Whether a file has the name and the mark of one of these."""
    from danet_common.data.image import software_of

    return any(path.name.endswith(f"_{kind}.png") for kind in KINDS) and software_of(path) == SOFTWARE


def refuse_replacing(photographs: list[Photograph], out: Path, kinds: tuple[str, ...], force: bool) -> None:
    """Raise Unable where a photograph would be replaced and, without `force`, any file that is not of this command."""
    inputs = {real_path(photograph.path): photograph.path for photograph in photographs}
    for photograph in photographs:
        for kind, path in predicted_paths(out / photograph.target, kinds).items():
            if real_path(path) in inputs:
                replaced = inputs[real_path(path)]
                raise CommandError(
                    f"{replaced} would be replaced by the {kind} of {photograph.path}; choose another --out"
                )
            if not force and path.exists() and not is_predicted(path):
                raise CommandError(
                    f"{path} exists, and danet predict did not write it; choose another --out, or --force to replace it"
                )

"""The files that `danet predict` writes: their names, the mark that identifies them, and their contents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danet_cli.output_paths import own_image, software
from danet_common import DANetConfig
from danet_common.config.palettes import palette_of
from danet_common.data.cityscapes import LabelIds
from danet_common.data.image import overlay, software_of, write_image, write_mask
from danet_common.files.atomic import always

SOFTWARE = software("predict")  # PNG's Software text in each file
KINDS = ("mask", "overlay", "side_by_side", "label_ids")


@dataclass(frozen=True)
class Outputs:
    """The files that are made of each image. `label_ids` are written alone, as a test server needs it."""

    folder: Path
    opacity: float
    side_by_side: bool
    label_ids: LabelIds | None
    force: bool  # replace files that danet predict did not write

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of files."""
        return KINDS[3:] if self.label_ids is not None else KINDS[:3] if self.side_by_side else KINDS[:2]

    def paths(self, target: Path) -> dict[str, Path]:
        """Return kind -> path. `target` is the image's place below the folder, without an ending."""
        place = self.folder / target
        return {kind: place.with_name(f"{place.name}_{kind}.png") for kind in self.kinds}

    def write(self, target: Path, image: np.ndarray, labels: np.ndarray, config: DANetConfig) -> dict[str, Path]:
        """Write the files of one image; return kind -> path. Raises CommandError where another file has appeared."""
        palette, paths = palette_of(config), self.paths(target)
        replace = always if self.force else own_image("predict")
        (self.folder / target).parent.mkdir(parents=True, exist_ok=True)
        if self.label_ids is not None:
            write_image(paths["label_ids"], self.label_ids.apply(labels), SOFTWARE, replace)
            return paths
        write_mask(paths["mask"], labels, palette, SOFTWARE, replace)
        write_image(paths["overlay"], overlay(image, labels, palette, self.opacity), SOFTWARE, replace)
        if self.side_by_side:
            from danet_cli.predict.side_by_side import side_by_side

            sheet = side_by_side(image, labels, palette, class_names(config), self.opacity)
            write_image(paths["side_by_side"], sheet, SOFTWARE, replace)
        return paths


def is_predicted(path: Path) -> bool:
    """True if a file has the name and the mark of a prediction."""
    return any(path.name.endswith(f"_{kind}.png") for kind in KINDS) and software_of(path) == SOFTWARE


def class_names(config: DANetConfig) -> tuple[str, ...]:
    """Return the checkpoint's class names, or numbers."""
    return config.class_names or tuple(map(str, range(config.num_classes)))

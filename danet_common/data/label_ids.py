"""The numbers under which a benchmark's server takes labels, where they are not those that networks learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, UInt8

from danet_common.config import DANetConfig
from danet_common.data.cityscapes import CITYSCAPES, IDS


@dataclass(frozen=True)
class LabelIds:
    """One benchmark's: the classes in the order of their labels, and the number of each."""

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def apply(self, labels: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
        """Return the ids of labels. Raises IndexError for a label that is no class."""
        return np.array(self.ids, np.uint8)[labels]

    def require(self, config: DANetConfig) -> None:
        """Raise ValueError unless the network has these classes, in this order as far as it names them."""
        if config.num_classes != len(self.ids):
            raise ValueError(f"these label ids are of {len(self.ids)} classes; the network has {config.num_classes}")
        for label, (name, own) in enumerate(zip(self.names, config.class_names or self.names, strict=True)):
            if own != name:
                raise ValueError(f"label {label} is {name!r} in these label ids, and {own!r} in the network")


LABEL_IDS: Mapping[str, LabelIds] = {
    # cityscapesScripts 02a0f28: helpers/labels.py, and evaluation/evalPixelLevelSemanticLabeling.py. The server finds
    # one 8-bit PNG for each picture, in any folder, by the city, sequence and frame with which its name begins.
    "cityscapes": LabelIds(CITYSCAPES.names, IDS),
}

"""What a file holds, as a format's reader hands it over and before a schema has named it canonically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from danet_common import CheckpointError
from danet_common.checkpoint import require_name
from danet_common.safetensors_header import LARGEST_EMPTY


@dataclass
class Contents:
    """The tensors of one file.

    tensors     name -> array. Readers of Keras and Flax files have already given canonical names and layout
    passengers  tensors that canonical files carry along
    manifest    JSON text of a danet manifest, where the file has one
    config      fields of the config that the file states itself (Keras's config.json), where it does
    remarks     what an owner's file says beside its tensors, as plain values
    notes       what the reader left out, for the user
    """

    tensors: Mapping[str, np.ndarray]
    passengers: Mapping[str, np.ndarray] = field(default_factory=dict)
    manifest: str | None = None
    config: Mapping[str, Any] | None = None
    remarks: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no owner's file holds and what would mislead whoever reads a message about it."""
        for name, array in (*self.tensors.items(), *self.passengers.items()):
            require_name(name)
            if array.size == 0 and max(array.shape) > LARGEST_EMPTY:
                raise CheckpointError(f"the tensor {name} of shape {list(array.shape)} is empty; the file is damaged")

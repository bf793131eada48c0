"""What a file holds, as a format's reader hands it over and before a schema has named it canonically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Contents:
    """The tensors of one file.

    tensors     name -> array. Readers of Keras and Flax files have already given canonical names and layout
    passengers  tensors that canonical files carry along
    manifest    JSON text of a danet manifest, where the file has one
    config      fields of the config that the file states itself (Keras's config.json), where it does
    notes       what the reader left out, for the user
    """

    tensors: Mapping[str, np.ndarray]
    passengers: Mapping[str, np.ndarray] = field(default_factory=dict)
    manifest: str | None = None
    config: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

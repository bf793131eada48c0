"""Write a safetensors file tensor by tensor, in C order whatever their order in memory.

The library takes contiguous arrays only, so a network whose kernels are views of another layout would be in memory
twice. Source: the format's README, https://github.com/huggingface/safetensors, 0.8.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common.checkpoint.safetensors_header import DTYPES, METADATA

NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 8  # bytes, of the first tensor in the file


def write_safetensors(
    tensors: Mapping[str, np.ndarray], path: str | os.PathLike[str], metadata: Mapping[str, str]
) -> None:
    """Write a file; the same tensors always give the same bytes. Raises ValueError for a dtype without a name there."""
    if METADATA in tensors:
        raise ValueError(f"a safetensors file has no tensor of the name {METADATA}")
    # The widest first, as the library has them: then each is aligned to its own elements.
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    header: dict[str, Any] = {METADATA: dict(metadata)}
    end = 0
    for name, array in ordered.items():
        if array.dtype not in NAMES:
            raise ValueError(f"a safetensors file has no dtype for {name}, which is {array.dtype}")
        offsets = [end, end + array.nbytes]
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with Path(path).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in ordered.values():
            if array.size:
                file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

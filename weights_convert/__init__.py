"""Checkpoints between files, frameworks and schemas: any format -> canonical -> any format.

No framework is imported here: NumPy does for every format, with TensorStore for Orbax's.
"""

from danet_common import Checkpoint, CheckpointError
from weights_convert.backbone import fill_backbone
from weights_convert.conversion import Report, convert
from weights_convert.inspection import Inspection, inspect
from weights_convert.live import fill_torch, partition, to_jax, to_keras, to_torch
from weights_convert.reading import read
from weights_convert.writing import write

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Inspection",
    "Report",
    "convert",
    "fill_backbone",
    "fill_torch",
    "inspect",
    "partition",
    "read",
    "to_jax",
    "to_keras",
    "to_torch",
    "write",
]

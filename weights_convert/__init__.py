"""Convert checkpoints between file formats, frameworks and schemas: any format -> canonical -> any format.

Importing this package imports no framework, and no format but Orbax needs one: Orbax needs TensorStore.
"""

from danet_common import Checkpoint, CheckpointError
from weights_convert.backbone import fill_backbone
from weights_convert.convert import Report, convert
from weights_convert.inspect import Inspection, inspect
from weights_convert.live.jax import partition, to_jax
from weights_convert.live.tf import to_keras
from weights_convert.live.torch import fill_torch, to_torch
from weights_convert.read import read
from weights_convert.write import write

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

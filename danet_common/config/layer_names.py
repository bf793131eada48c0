"""Names of the layer sets of the three packages.

plain             the text of the package as it stands
memory_efficient  attention in chunks, so that no map is kept: linear memory. Trainable; the default
remat             also activation checkpointing of residual blocks and attention
cpu_inference     memory_efficient with BatchNorm in the convolutions and Winograd's convolution: fastest on a CPU.
                  Such a network cannot be trained or saved
auto              cpu_inference on a CPU in float32 and float64, else memory_efficient: fastest for inference
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from danet_common.checkpoint import CheckpointError
from danet_common.numerics.precision import Precision

LayersName = Literal["plain", "memory_efficient", "remat", "cpu_inference", "auto"]

DEFAULT_LAYERS: LayersName = "memory_efficient"  # for networks that may be trained and saved


def resolve_layers(name: str, precision: Precision, device: str) -> str:
    """Return the name of a layer set, `auto` resolved for a device ("cpu" or another).

    Raises ValueError for an unknown name, TypeError for another type.
    """
    if not isinstance(name, str):
        raise TypeError(f"layers must be a LayerSet or one of {', '.join(get_args(LayersName))}; got {name!r}")
    if name not in get_args(LayersName):
        raise ValueError(f"layers must be one of {', '.join(get_args(LayersName))}; got {name!r}")
    if name != "auto":
        return name
    full = precision.compute_dtype in ("float32", "float64")
    return "cpu_inference" if device == "cpu" and full else "memory_efficient"


def require_trainable(layers: Any, action: str) -> None:
    """Raise CheckpointError for a network without BatchNorm, whose tensors are not those of its checkpoint.

    layers  a LayerSet of any of the three packages
    action  "saved" or "trained"
    """
    if not layers.trainable:
        message = f"a network with layers={layers.name!r} has no BatchNorm any more and cannot be {action}."
        raise CheckpointError(f"{message} Load it with layers={DEFAULT_LAYERS!r}")

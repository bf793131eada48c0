"""Load live Flax networks: copied or shared, on one device or sharded over a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from danet_common import Checkpoint
from danet_common.checkpoint.lazy import Slices
from danet_common.checkpoint.parameter_layouts import to_channels_last
from danet_common.config.tensors import Parameter
from weights_convert.casting import fit
from weights_convert.live.source import LiveTensors, Source, as_checkpoint, kernel_dtype, read_part
from weights_convert.mapping.apply import Log

if TYPE_CHECKING:
    import jax
    from flax import nnx
    from jax.sharding import Mesh, NamedSharding, Sharding

    from danet_jax import DANet

    Placement: TypeAlias = jax.Device | Mesh | Sharding | Callable[[Parameter], Sharding]

MODEL_AXIS = "model"


def to_jax(
    source: Source,
    *,
    dtype: str | None = None,
    sharding: Placement | None = None,
    share: bool = False,
    weights_key: str | None = None,
    report: Log | None = None,
) -> DANet:
    """Return a Flax network in inference mode, from a checkpoint, a path or a live network.

    sharding  a device; a mesh, for `partition`; a sharding for all tensors; or a function from a canonical
              Parameter to the sharding of its tensor (kernels HWIO). None: JAX's default device. From a
              canonical file, each process reads the parts of its own devices only
    share     use the memory of a live PyTorch network through DLPack, if device and dtype agree. JAX arrays
              are immutable, so do not train that network while they exist

    `dtype`, `weights_key` and `report` are those of `to_torch`.
    Raise CheckpointError if the source is incomplete. Raise ValueError for a mesh with explicit axes, for `share`
    with a sharding, and for `share` without a PyTorch network.
    """
    from danet_jax.accelerated.abstract import abstract_network
    from danet_jax.parameters import named_parameters

    checkpoint = as_checkpoint(source, weights_key, report)
    tensors = checkpoint.tensors
    if share and not (isinstance(tensors, LiveTensors) and checkpoint.source["backend"] == "torch" and not sharding):
        raise ValueError("share=True needs a live network of danet_torch, and no sharding")
    model = abstract_network(checkpoint.config, dtype or kernel_dtype(checkpoint))
    place = _placement(sharding)
    for parameter, leaf in named_parameters(model):
        if share and isinstance(tensors, LiveTensors):
            leaf.set_value(_shared(parameter, tensors.leaves[parameter.name][1]).astype(leaf.dtype))
        else:
            leaf.set_value(_array(checkpoint, parameter, leaf, place(parameter)))
    model.eval()
    return model


def partition(parameter: Parameter, mesh: Mesh) -> NamedSharding:
    """Return the sharding of a tensor on a mesh, as `to_jax` applies it. Shard images with P("data").

    The axis "model" shards output channels if the mesh has it and its size divides their number. All other tensors
    are replicated.
    """
    from jax.sharding import NamedSharding, PartitionSpec

    devices = mesh.shape.get(MODEL_AXIS, 1)
    if devices == 1 or not parameter.shape or parameter.shape[0] % devices:
        return NamedSharding(mesh, PartitionSpec())
    before = (None, None, None) if parameter.kind == "kernel" else ()  # HWIO
    return NamedSharding(mesh, PartitionSpec(*before, MODEL_AXIS))


def _placement(sharding: Any) -> Callable[[Parameter], Sharding | None]:
    """Return a function from a Parameter to the sharding of its tensor."""
    import jax
    from jax.sharding import AxisType, Mesh, Sharding, SingleDeviceSharding

    if isinstance(sharding, Mesh):
        if AxisType.Explicit in sharding.axis_types:
            raise ValueError(
                "the network's convolutions leave shardings to the compiler: "
                "make the mesh with axis_types=(jax.sharding.AxisType.Auto,) for each axis"
            )
        return lambda parameter: partition(parameter, sharding)
    if isinstance(sharding, jax.Device):
        sharding = SingleDeviceSharding(sharding)
    if sharding is None or isinstance(sharding, Sharding):
        return lambda parameter: sharding
    return sharding


def _array(checkpoint: Checkpoint, parameter: Parameter, leaf: nnx.Variable, sharding: Sharding | None) -> jax.Array:
    """Return one tensor with its sharding. A slice of several devices is read once."""
    import jax
    from jax import numpy as jnp

    slices: dict[str, np.ndarray] = {}

    def read(index: Slices | None) -> np.ndarray:
        assert index is not None
        if str(index) not in slices:
            canonical = tuple(index[axis] for axis in (3, 2, 0, 1)) if parameter.kind == "kernel" else index
            part = to_channels_last(parameter, read_part(checkpoint, parameter.name, canonical))
            # JAX may use this memory without a copy, so the array must own it.
            slices[str(index)] = np.array(fit(parameter.name, part, leaf.dtype), order="C")
        return slices[str(index)]

    if sharding is None:
        return jnp.asarray(read((slice(None),) * len(leaf.shape)))
    return jax.make_array_from_callback(leaf.shape, sharding, read)


def _shared(parameter: Parameter, leaf: Any) -> jax.Array:
    """Return a view of a torch tensor's memory as an array; kernels change from OIHW to HWIO."""
    import jax

    tensor = leaf.detach()
    return jax.dlpack.from_dlpack(tensor.permute(2, 3, 1, 0) if parameter.kind == "kernel" else tensor)

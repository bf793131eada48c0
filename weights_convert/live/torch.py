"""Load live PyTorch networks: copied or shared, whole or sharded over a device mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from danet_common import Checkpoint
from danet_common.checkpoint.lazy import Slices
from danet_common.config.tensors import Parameter
from weights_convert.casting import fit
from weights_convert.live.source import LiveTensors, Source, as_checkpoint, kernel_dtype, read_part
from weights_convert.mapping.apply import Log

if TYPE_CHECKING:
    import torch

    from danet_torch import DANet


def to_torch(
    source: Source,
    *,
    dtype: str | None = None,
    device: str | torch.device = "cpu",
    share: bool = False,
    weights_key: str | None = None,
    report: Log | None = None,
) -> DANet:
    """Return a PyTorch network in inference mode, from a checkpoint, a path or a live network.

    dtype        dtype of the network; None: that of the source's kernels. With 16 bits, BatchNorm and gammas are
                 float32
    device       device of the tensors. They are moved one after another, so there is no second copy of all
    share        use the memory of a live Flax network through DLPack, if device and dtype agree. JAX arrays are
                 immutable, so do not train the result; its parameters have requires_grad=False
    weights_key  the set of weights to take if a file has several, such as "ema"; None: the trained one
    report       called with each line about defaults, filled or omitted tensors of a file

    Raise CheckpointError if the source is incomplete, and ValueError for `share` without a Flax network.
    """
    import torch

    import danet_torch

    checkpoint = as_checkpoint(source, weights_key, report)
    with torch.device("meta"):  # shapes without memory
        model = danet_torch.DANet(checkpoint.config, dtype=dtype or kernel_dtype(checkpoint), seed=None)
    if share:
        model.load_state_dict(_shared(model, checkpoint, torch.device(device)), assign=True)
        model.requires_grad_(False)
    else:
        fill_torch(model, checkpoint, device)
    return model.eval()


def fill_torch(model: DANet, source: Source, device: str | torch.device = "cpu") -> None:
    """Fill a network in place, tensor by tensor. A network on the meta device gets memory on `device` first.

    If its parameters are DTensors (`fully_shard`, `distribute_tensor`), each process reads its own slices only.
    Raise CheckpointError if the source is incomplete. Raise ValueError if the configs differ, or for a placement
    other than Shard and Replicate.
    """
    import torch

    from danet_torch.parameters import named_parameters, set_leaf

    checkpoint = as_checkpoint(source)
    if model.config != checkpoint.config:
        theirs = checkpoint.config.to_dict()
        fields = [name for name, value in model.config.to_dict().items() if value != theirs[name]]
        raise ValueError(f"the network's config and the source's differ in {', '.join(fields)}")
    if any(leaf.is_meta for _, leaf in named_parameters(model)):
        model.to_empty(device=torch.device(device))
    for parameter, leaf in named_parameters(model):
        index, local = _local_part(parameter, leaf)
        if local.numel():
            array = read_part(checkpoint, parameter.name, index)
            set_leaf(local, fit(parameter.name, array, _numpy_name(local)))


def _local_part(parameter: Parameter, leaf: torch.Tensor) -> tuple[Slices, torch.Tensor]:
    """Return the index of this process's part of a tensor, and the part.

    Shard(d) splits axis d like torch.chunk, once for each mesh axis in turn.
    """
    full = tuple(slice(0, size) for size in parameter.shape)
    if not hasattr(leaf, "device_mesh"):
        return full, leaf
    from torch.distributed.tensor import DTensor, Replicate, Shard

    assert isinstance(leaf, DTensor)
    index, local = list(full), leaf.to_local()
    coordinate = leaf.device_mesh.get_coordinate()
    if coordinate is None:  # a process outside the mesh has no part
        return full, local
    for axis, placement in enumerate(leaf.placements):
        if type(placement) is Shard:
            start, stop = index[placement.dim].start, index[placement.dim].stop
            step = -(-(stop - start) // leaf.device_mesh.size(axis))
            start = min(start + coordinate[axis] * step, stop)
            index[placement.dim] = slice(start, min(start + step, stop))
        elif not isinstance(placement, Replicate):
            raise ValueError(
                f"cannot fill {parameter.name} with placement {placement}; only Shard and Replicate are supported"
            )
    return tuple(index), local


def _shared(model: DANet, checkpoint: Checkpoint, device: torch.device) -> dict[str, torch.Tensor]:
    """Return a state dict in the memory of a Flax network's arrays; sharded arrays are copied."""
    import torch

    from danet_torch.parameters import named_parameters, set_leaf

    tensors = checkpoint.tensors
    if not isinstance(tensors, LiveTensors) or checkpoint.source["backend"] != "jax":
        raise ValueError("share=True needs a live network of danet_jax")
    state = {}
    for parameter, leaf in named_parameters(model):
        array: Any = tensors.leaves[parameter.name][1][...]
        if len(array.devices()) == 1:
            tensor = torch.from_dlpack(array)
            tensor = tensor.permute(3, 2, 0, 1) if parameter.kind == "kernel" else tensor  # HWIO seen as OIHW
        else:
            tensor = torch.empty(parameter.shape, dtype=leaf.dtype)
            set_leaf(tensor, fit(parameter.name, tensors[parameter.name], _numpy_name(leaf)))
        state[parameter.name] = tensor.to(device, leaf.dtype)
    return state


def _numpy_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")

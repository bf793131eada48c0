"""Two processes, each with a part of one network: arguments, a float64 checkpoint and a folder to meet in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

import danet_torch
import weights_convert
from danet_common import open_checkpoint
from danet_torch.parameters import get_tensors, named_parameters
from shared_tests.fixtures.synthetic import synthetic_input
from shared_tests.suites.devices.counting import Reads, counted_reads

PROCESSES = 2


def local_bytes(model: nn.Module) -> int:
    """Bytes of the parts that this process holds."""
    leaves = [leaf.to_local() if isinstance(leaf, DTensor) else leaf for _, leaf in named_parameters(model)]
    return sum(leaf.nbytes for leaf in leaves)


def on_meta(path: str) -> danet_torch.DANet:
    """The checkpoint's network, without memory."""
    with torch.device("meta"):
        return danet_torch.DANet(open_checkpoint(path).config, dtype="float64", seed=None).eval()


def fully_sharded(path: str, mesh: DeviceMesh) -> tuple[danet_torch.DANet, Reads]:
    """FSDP2: groups of modules, one of them a module that holds a tensor itself, and the network."""
    model = on_meta(path)
    for module in (*model.backbone.layer4, model.head.position_attention):
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    with counted_reads() as reads:
        weights_convert.fill_torch(model, path)
    return model, reads


def distributed_kernels(path: str, mesh: DeviceMesh) -> tuple[danet_torch.DANet, Reads]:
    """Every kernel a DTensor cut along its input channels, all else whole."""
    model = on_meta(path)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(distribute_tensor(module.weight, mesh, [Shard(1)]))
    with counted_reads() as reads:
        weights_convert.fill_torch(model, path)
    return model, reads


def process(rank: int, path: str, folder: str) -> None:
    """Run one of the processes."""
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    mesh = init_device_mesh("cpu", (PROCESSES,))
    x = torch.from_numpy(synthetic_input(open_checkpoint(path).config, 2, 33, 47)).double()
    plain = weights_convert.to_torch(path)
    actual: dict[str, Any] = {"file": sum(leaf.nbytes for _, leaf in named_parameters(plain))}
    for name, make in (("fully_shard", fully_sharded), ("distribute_tensor", distributed_kernels)):
        model, reads = make(path, mesh)
        tensors, expected_tensors = get_tensors(model), get_tensors(plain)
        actual[name] = {
            "held": local_bytes(model),
            "read": sum(size for _, size in reads),
            "equal": all(np.array_equal(tensors[key], expected_tensors[key]) for key in expected_tensors),
        }
        if name == "fully_shard":
            with torch.no_grad():
                logits, expected = model(x), plain(x)
            actual["difference"] = max(
                float((logits[key] - expected[key]).abs().max() / expected[key].abs().max()) for key in expected
            )
    Path(folder, f"{rank}.json").write_text(json.dumps(actual))
    distributed.destroy_process_group()


def main(path: str, folder: str) -> None:
    multiprocessing.spawn(process, (path, folder), nprocs=PROCESSES)
    print(json.dumps([json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(PROCESSES)]))


if __name__ == "__main__":
    main(*sys.argv[1:])

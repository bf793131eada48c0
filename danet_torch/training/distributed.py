"""The processes and devices of a run, joined by the framework's own functions."""

from __future__ import annotations

import os
import weakref
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from danet_common.training.sharing import Processes, describe

TIMEOUT = 600  # seconds that a process waits for the others before it gives up

# Those of this process. What is in them may not be the last to let go of the processes' group: it would wait for Gloo's
# threads while it has the interpreter, and they for the interpreter.
networks: weakref.WeakSet[DistributedDataParallel] = weakref.WeakSet()


class Distributed(Processes):
    """The processes of a run and their devices."""

    def default_placement(self) -> torch.device:
        """Return the first GPU, or else the CPU."""
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

    def describe(self) -> str:
        """Return such words as "2 processes, 4 cuda devices"."""
        return describe(self.process_count, self.device_count, self.placement.type)

    def to_device(self, rows: np.ndarray) -> Tensor:
        """Return this process's rows of a global array as a tensor on its devices."""
        return torch.from_numpy(np.ascontiguousarray(rows)).to(self.placement)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, the same in each."""
        if self.process_count == 1:
            return array
        total = torch.from_numpy(np.array(array)).to(self.placement)
        distributed.all_reduce(total)
        return total.cpu().numpy()

    def close(self) -> None:
        """Leave the group of processes when all are done."""
        if self.process_count > 1:
            distributed.barrier()  # of no tensor: Gloo's threads would need the interpreter for it, which may be gone
            for network in networks:
                del network.reducer, network.logger
            networks.clear()
            distributed.destroy_process_group()


def init_distributed() -> Distributed:
    """Join the processes that the environment names, before anything else is computed.

    Raises ValueError for an environment that contradicts itself or the devices.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))  # set by torchrun, as RANK and LOCAL_RANK
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if not torch.cuda.is_available():
        placement = torch.device("cpu")
    elif local < torch.cuda.device_count():
        placement = torch.device("cuda", local)
        torch.cuda.set_device(placement)
    else:
        raise ValueError(f"process {local} of this host has no GPU: there are {torch.cuda.device_count()}")
    if count == 1:
        return Distributed(placement=placement)
    cuda = placement.type == "cuda"
    distributed.init_process_group(
        "nccl" if cuda else "gloo", timeout=timedelta(seconds=TIMEOUT), device_id=placement if cuda else None
    )
    return Distributed(distributed.get_rank(), count, count, placement)


def replicate(model: nn.Module) -> DistributedDataParallel:
    """Return the model with gradients averaged over all processes."""
    network = DistributedDataParallel(model)
    networks.add(network)
    return network

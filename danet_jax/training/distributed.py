"""The processes and devices of a run, joined by the framework's own functions."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from danet_common.training.sharing import Processes, describe

TIMEOUT = 600  # seconds that a process waits for the others before it gives up


class Distributed(Processes):
    """The processes of a run and their devices."""

    def describe(self) -> str:
        """Return such words as "2 processes, 4 cuda devices"."""
        return describe(self.process_count, self.device_count, jax.default_backend())

    def to_device(self, rows: np.ndarray) -> Array:
        """Return this process's rows of a global array as a tensor on its devices."""
        if self.placement is None:
            return jnp.asarray(rows)
        sharding = NamedSharding(self.placement, PartitionSpec("batch"))
        return jax.make_array_from_process_local_data(sharding, rows)

    def replicate(self, tree: Any) -> Any:
        """Return arrays that every process has alike, on all devices."""
        if self.placement is None:
            return tree
        sharding = NamedSharding(self.placement, PartitionSpec())
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, the same in each."""
        if self.process_count == 1:
            return array
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)  # JAX would narrow 64 bits
        every = np.asarray(multihost_utils.process_allgather(data))
        return every.reshape(self.process_count, -1).view(array.dtype).sum(0, array.dtype).reshape(array.shape)

    def close(self) -> None:
        """Leave the group of processes when all are done."""
        if self.process_count > 1:
            self.sum(np.zeros(1))
            jax.distributed.shutdown()


def init_distributed() -> Distributed:
    """Join the processes that the environment names, before anything else is computed.

    Raises ValueError for an environment that contradicts itself or the devices.
    """
    chips = (*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*"))
    has_tpu = bool(chips) and importlib.util.find_spec("libtpu") is not None  # of which there may be other hosts
    slurm = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1  # set by srun
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        missing = [name for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID") if name not in os.environ]
        if missing:
            raise ValueError(f"JAX_COORDINATOR_ADDRESS needs {' and '.join(missing)} beside it")
        count, index = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
        jax.distributed.initialize(None, count, index, initialization_timeout=TIMEOUT)
    elif slurm or has_tpu:
        method = "slurm" if slurm else None  # None: as the TPU's host says
        jax.distributed.initialize(cluster_detection_method=method, initialization_timeout=TIMEOUT)
    if jax.device_count() == 1:
        return Distributed()
    mesh = jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(AxisType.Auto,))
    return Distributed(jax.process_index(), jax.process_count(), jax.device_count(), mesh)

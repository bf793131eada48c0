"""The processes and devices of a run, joined by the framework's own functions."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor as Tensor

from danet_common.training.sharing import Processes, describe

TIMEOUT = 600  # seconds that a process waits for the others before it gives up


class Distributed(Processes):
    """The processes of a run and their devices."""

    def describe(self) -> str:
        """Return such words as "2 processes, 4 cuda devices"."""
        kind = next(kind for kind in ("TPU", "GPU", "CPU") if tf.config.list_logical_devices(kind))
        return describe(self.process_count, self.device_count, kind.lower())

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which variables are mirrored and every replica takes a step."""
        return contextlib.nullcontext() if self.placement is None else self.placement.scope()

    def to_device(self, rows: np.ndarray) -> Tensor:
        """Return this process's rows of a global array as a tensor on its devices."""
        if self.placement is None:
            return tf.convert_to_tensor(rows)
        shares = np.split(rows, self.device_count // self.process_count)
        return self.placement.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(shares[context.replica_id_in_sync_group % len(shares)])
        )

    def local(self, value: Tensor) -> Tensor:
        """Return this process's copy of a value that all replicas have alike."""
        return value if self.placement is None else self.placement.experimental_local_results(value)[0]

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, the same in each."""
        if self.placement is None or self.process_count == 1:
            return array
        local = self.device_count // self.process_count
        each = self.placement.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                array if context.replica_id_in_sync_group % local == 0 else np.zeros_like(array)
            )
        )
        return np.asarray(self.placement.reduce("SUM", each, axis=None))

    def close(self) -> None:
        """Leave the group of processes when all are done."""
        if self.process_count > 1:
            self.sum(np.zeros(1))


def init_distributed() -> Distributed:
    """Join the processes that the environment names, before anything else is computed.

    Raises ValueError for an environment that contradicts itself or the devices.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"training needs KERAS_BACKEND=tensorflow; Keras is on {keras.backend.backend()}")
    if "TF_CONFIG" in os.environ:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        chiefs, workers = (resolver.cluster_spec().as_dict().get(job, []) for job in ("chief", "worker"))
        if resolver.task_type not in ("chief", "worker"):
            raise ValueError(f"TF_CONFIG's task must be a chief or a worker; got {resolver.task_type!r}")
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
        index = resolver.task_id + (len(chiefs) if resolver.task_type == "worker" else 0)
        return Distributed(index, len(chiefs) + len(workers), strategy.num_replicas_in_sync, strategy)
    name = os.environ.get("TPU_NAME") or ("local" if tf.config.list_physical_devices("TPU") else None)
    if name is not None:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
        return Distributed(0, 1, strategy.num_replicas_in_sync, strategy)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return Distributed()
    return Distributed(0, 1, len(devices), tf.distribute.MirroredStrategy([device.name for device in devices]))


def on_replicas(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function: every replica runs it where the caller is in a strategy's scope."""

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        if not tf.distribute.has_strategy():
            return function(*arguments)
        return tf.distribute.get_strategy().run(function, arguments)

    return run

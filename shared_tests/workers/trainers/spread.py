"""One process of a run over several devices: `python -m shared_tests.workers.trainers.spread BACKEND FOLDER`.

The folder has `job.json` and `arrays.npz`; process P leaves its losses in `P.npz` and its runs in `P-STEP.safetensors`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np

from danet_common.training.training_checkpoint import read_training, write_training
from shared_tests.workers.protocol import load_arrays, save_arrays

MODULES = {
    "distributed": "training.distributed",
    "losses": "training.losses",
    "primitives": "primitives",
    "resume": "training.state",
    "train": "training.step",
}


def simulate(backend: str, devices: int) -> None:
    """Make the processor look like so many devices to TensorFlow; JAX is told by its environment, torch never."""
    if backend == "tf":
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * devices)
    if backend == "torch":
        import torch

        torch.set_num_threads(1)  # several spend more on waiting for each other than a tiny network costs


def main(backend: str, folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    arrays = load_arrays(folder / "arrays.npz")["batch"]
    simulate(backend, job["devices"])
    modules = {name: importlib.import_module(f"danet_{backend}.{path}") for name, path in MODULES.items()}
    distributed_module, resume, train = modules["distributed"], modules["resume"], modules["train"]
    for place in job["local"]:  # a seeded bug: what should be of all devices is of one alone
        module, function = place.split(".")
        setattr(modules[module], function, lambda x, *_: x)
    with distributed_module.init_distributed() as distributed:
        state = resume.restore(read_training(job["start"]), distributed, dtype=job["dtype"])
        batch_size, share = state.recipe.batch_size, state.recipe.batch_size // distributed.process_count
        losses: dict[str, list[float]] = {}
        first = distributed.process_index * share
        for _ in range(job["steps"]):
            if [distributed.process_index, state.step] == job["dies"]:
                os._exit(3)
            rows = (np.arange(first, first + share) + state.step * batch_size) % len(arrays["labels"])
            batch = {name: array[rows] for name, array in arrays.items()}
            for name, value in train.train_step(state, batch, first).items():
                losses.setdefault(name, []).append(float(value))
            write_training(resume.capture(state), folder / f"{distributed.process_index}-{state.step}.safetensors")
        total = distributed.sum(np.array([[2**40 + distributed.process_index, int(distributed.process_index == 0)]]))
        actual = {"losses": {name: np.array(values) for name, values in losses.items()}, "distributed": {"sum": total}}
        save_arrays(folder / f"{distributed.process_index}.npz", actual)
        (folder / f"{distributed.process_index}.txt").write_text(distributed.describe())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

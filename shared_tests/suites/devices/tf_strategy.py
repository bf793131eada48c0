"""One network mirrored on two logical devices: argument, a float64 checkpoint."""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf

import danet_tf
import weights_convert
from danet_common import open_checkpoint
from shared_tests.fixtures.synthetic import synthetic_input


def main(path: str) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    x = synthetic_input(open_checkpoint(path).config, 4, 33, 47).astype(np.float64).transpose(0, 2, 3, 1)
    expected = danet_tf.load(path, "float64")(x)["fused"].numpy()
    actual: dict[str, object] = {"replicas": strategy.num_replicas_in_sync}
    with strategy.scope():
        models = {"load": danet_tf.load(path, "float64"), "to_keras": weights_convert.to_keras(path)}
    (batch,) = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(x).batch(4))
    for name, model in models.items():
        replicas = tf.function(lambda part, model=model: strategy.run(lambda x: model(x)["fused"], (part,)))(batch)
        logits = np.concatenate([part.numpy() for part in strategy.experimental_local_results(replicas)])
        actual[name] = float(abs(logits - expected).max() / abs(expected).max())
        actual[f"{name} mirrored"] = all(
            isinstance(variable.value, tf.distribute.DistributedValues) for variable in model.variables
        )
    print(json.dumps(actual))


if __name__ == "__main__":
    main(sys.argv[1])

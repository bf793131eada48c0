"""Read weights files of Keras 2, and name whole models of Keras 3: one group for each layer, tensors below by scope.

tf2cv (imgclsmob) writes such files. TensorFlow 2.12 names the tensors of its DANet like
`features/features/features/stage1/stage1/unit1/body/conv1/conv/conv/kernel:0`.
"""

from __future__ import annotations

import re

import numpy as np

from danet_common import CheckpointError
from weights_convert.containers.hdf5_reader import Hdf5
from weights_convert.containers.source_file import FileBytes
from weights_convert.contents import Contents

WHOLE_MODEL = "model_weights/"  # group of the layers in a file of a whole model
TF2CV_LAYERS = {"features", "head"}
DANET_KERAS_LAYER = re.compile(r"[pc]am(_[0-9]+)?")
DANET_KERAS = (
    "DANet-keras cannot be converted: its position attention makes new convolutions in every call, "
    "which are never saved"
)
BY_NUMBER = (
    "is a whole model of Keras 3 in HDF5, which names layers by class and number, not by place. Load it with "
    "keras.models.load_model(path, custom_objects={'DANet': danet_tf.DANet}), and save a .keras file"
)
UNKNOWN = f"a weights file of Keras 2, of no known network ({DANET_KERAS})"


def is_keras_2(file: Hdf5) -> bool:
    """True for a file of Keras 2, which has an attribute or a group of its own."""
    return "layer_names" in file.attributes or WHOLE_MODEL.rstrip("/") in file.groups


def read_keras_2(file: Hdf5, raw: np.ndarray | FileBytes) -> Contents:
    """Return the tensors of tf2cv's DANet by dotted name, kernels in OIHW.

    Raise CheckpointError for any other network.
    """
    if (file.attributes.get("keras_version") or "").startswith("3."):
        raise CheckpointError(BY_NUMBER)
    layers = {group.removeprefix(WHOLE_MODEL).partition("/")[0] for group in file.groups}
    if any(DANET_KERAS_LAYER.fullmatch(layer) for layer in layers):
        raise CheckpointError(DANET_KERAS)
    if not layers >= TF2CV_LAYERS:
        raise CheckpointError(UNKNOWN)
    tensors = {}
    for name, dataset in file.datasets.items():
        if dataset.error:
            raise CheckpointError(f"{name} {dataset.error}")
        key, array = name.removesuffix(":0").replace("/", "."), dataset.values(raw)
        if key.endswith(".kernel") and array.ndim == 4:
            key, array = key.removesuffix("kernel") + "weight", array.transpose(3, 2, 0, 1)
        tensors[key] = array
    return Contents(tensors=tensors)

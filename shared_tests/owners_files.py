"""Checkpoints as their owners' trainers save them, made from recorded measurements without the owners' code."""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shared_tests.oracle import Oracle

HISTORY_MODULE = "mmengine.logging.history_buffer"
GROUP = {"lr": 0.003, "momentum": 0.9, "weight_decay": 1e-4, "params": []}
OPTIMIZER = {"state": {}, "param_groups": [GROUP]}

# The part of a configuration that is the model, in the style in which MMEngine prints it.
CONFIGURATION = """\
crop_size = (
    512,
    1024,
)
data_preprocessor = dict(
    bgr_to_rgb=True,
    mean={mean},
    pad_val=0,
    size=crop_size,
    std={std},
    type='SegDataPreProcessor')
model = dict(
    auxiliary_head=dict(
        align_corners={align_corners}, channels=256, in_index=2, num_classes={num_classes}, type='FCNHead'),
    backbone=dict(
        contract_dilation=True,
        depth={depth},
        dilations=(
            1,
            1,
            2,
            4,
        ),
        norm_cfg=dict(requires_grad=True, type='SyncBN'),
        strides=(
            1,
            2,
            1,
            1,
        ),
        style='pytorch',
        type='ResNetV1c'),
    decode_head=dict(
        align_corners={align_corners}, dropout_ratio=0.1, num_classes={num_classes}, pam_channels=64, type='DAHead'),
    type='EncoderDecoder')
optimizer = dict(lr=0.01, type='SGD')
"""


def write_checkpoint(oracle: Oracle, folder: str | os.PathLike[str]) -> Path:
    """Write the checkpoint under the file name that its owner's trainer gives. Needs torch but for Paddle's."""
    path = Path(folder) / oracle.meta["file_name"]
    if oracle.meta["wrapper"] == "paddle-pickle":
        table = dict(zip(oracle.state_dict, oracle.meta["param_names"], strict=True))
        path.write_bytes(pickle.dumps({**oracle.state_dict, "StructuredToParameterName@@": table}, protocol=4))
        return path
    import torch

    state_dict = OrderedDict((key, torch.from_numpy(array.copy())) for key, array in oracle.state_dict.items())
    with trainers_modules():
        torch.save(WRAPPERS[oracle.meta["wrapper"]](state_dict, oracle.meta), path)
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint written here, by what the owner's framework reads it with, but for Paddle's.

    Plain pickle does for those, as it does in Paddle.
    """
    if path.suffix == ".pdparams":
        content = pickle.loads(path.read_bytes(), encoding="latin1")
        del content["StructuredToParameterName@@"]
        return content
    import torch

    content = torch.load(path, weights_only=True, mmap=True)
    return {key: tensor.numpy() for key, tensor in content.get("state_dict", content).items()}


def official(state_dict: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The authors' trainer. Its best score is a NumPy scalar, which torch's safe loading refuses."""
    best = (np.float64(0.9596) + np.float64(0.7993)) / 2
    return {"epoch": 240, "state_dict": state_dict, "optimizer": OPTIMIZER, "best_pred": best}


def mmengine(state_dict: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """MMEngine's runner. Its message hub holds objects of its own classes."""
    history = sys.modules[HISTORY_MODULE].HistoryBuffer()
    history._log_history = np.linspace(1.0, 0.5, 100)
    hub = {"log_scalars": OrderedDict(loss=history), "runtime_info": OrderedDict(iter=40000), "resumed_keys": {}}
    return {
        "meta": {"epoch": 0, "iter": 40000, "cfg": configuration(meta), "dataset_meta": dict(meta["dataset"])},
        "state_dict": state_dict,
        "message_hub": hub,
        "optimizer": OPTIMIZER,
        "param_schedulers": [{"power": 0.9, "eta_min": 0.0001}],
    }


def mmcv(state_dict: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The runner of MMCV 1.x."""
    classes, palette = tuple(meta["dataset"]["classes"]), meta["dataset"]["palette"]
    facts = {"mmseg_version": "0.6.0", "config": configuration(meta), "CLASSES": classes, "PALETTE": palette}
    return {"meta": facts, "state_dict": state_dict, "optimizer": OPTIMIZER}


def configuration(meta: Mapping[str, Any]) -> str:
    """A configuration's text, as MMSegmentation's trainer keeps it in a file."""
    return CONFIGURATION.format(**meta["config"])


WRAPPERS = {
    "torch-bare": lambda state_dict, meta: state_dict,
    "torch-official": official,
    "mmengine": mmengine,
    "mmcv-v0": mmcv,
}


@contextmanager
def trainers_modules() -> Iterator[None]:
    """MMEngine's module of a class that its files hold, for as long as a file is written; nothing of it is needed."""
    names = [".".join(HISTORY_MODULE.split(".")[:count]) for count in (1, 2, 3)]
    before = {name: sys.modules.get(name) for name in names}
    modules = {name: types.ModuleType(name) for name in names}
    modules[HISTORY_MODULE].__dict__["HistoryBuffer"] = type("HistoryBuffer", (), {"__module__": HISTORY_MODULE})
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module

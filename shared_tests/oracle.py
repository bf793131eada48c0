"""Recorded measurements of other people's networks: weights, an input, and what their own code made of it.

A file holds data only. Its large weights are not stored but drawn again from a counter-based stream that
each tensor's own name keys, times one stored factor, so that a ResNet-50 takes 1.4 MB; oracles/README.md
describes the format.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared_tests.reference.operations import resize

ORACLES = Path(__file__).with_name("oracles")
RULE = "philox-uniform-v1"
SIZE = (97, 129)  # of every recorded input

# What the owners call our outputs; `full` and `low` are logits after and before upsampling.
LOGITS = {
    "fused": ("sasc", "fusion", "pam_cam", "logit", "fused"),
    "position": ("sa", "pam", "pa"),
    "channel": ("sc", "cam", "ca"),
    "aux": ("aux",),
}
# What the features are of; a DANet's are the same everywhere.
DANET_FEATURES = {"c4": "layer4", "pam": "position_attention", "cam": "channel_attention"}
DRANET_FEATURES = {
    "c4": "layer4",
    "cpam": "compact_position_attention",
    "ccam": "compact_channel_attention",
    "clgd": "decoder_out",
}
BACKBONE_FEATURES = {"c1": "stem", "c2": "layer1", "c3": "layer2", "c4": "layer3", "c5": "layer4"}


@dataclass(frozen=True)
class Record:
    """What the owner's network gave in float64 for one of our stages or outputs.

    values     the whole map (1, C, H, W), or (points, C) at `positions`, rows and columns
    positions  None where the map is whole
    noise      the greatest difference of the owner's own float32 run from it
    rounded    values are kept in float32
    """

    values: np.ndarray
    positions: np.ndarray | None
    noise: float
    rounded: bool

    def part_of(self, array: np.ndarray) -> np.ndarray:
        """The same points of a map (1, C, H, W) of ours."""
        if self.positions is None:
            return array
        rows, columns = self.positions.T
        return array[0][:, rows, columns].T


@dataclass(frozen=True)
class Oracle:
    """One recorded forward pass.

    meta        what was recorded, of whose network, and its config
    state_dict  the owner's key -> array, in the owner's order and dtypes
    x           float32 (1, 3, H, W), normalised
    records     name of our stage or output -> what the owner's network gave
    """

    meta: Mapping[str, Any]
    state_dict: Mapping[str, np.ndarray]
    x: np.ndarray
    records: Mapping[str, Record]


def load(path: str | os.PathLike[str]) -> Oracle:
    """Read one file. Raises ValueError where its rule for weights is not the one known here."""
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        if meta["rule"] != RULE:
            raise ValueError(f"{path}: the rule for weights must be {RULE}; got {meta['rule']!r}")
        entries = zip(file["keys"], file["shapes"], file["kind"], file["factors"], strict=True)
        state_dict = {
            str(key): drawn(str(key), tuple(json.loads(str(shape))), factor) if kind == "rule" else file[f"t{index}"]
            for index, (key, shape, kind, factor) in enumerate(entries)
        }
        arrays = {name: file[name] for name in file.files if "__" in name or name == "pos"}
        meta["param_names"] = file["param_names"].tolist() if "param_names" in file.files else []
        exact = meta["wrapper"] != "paddle-pickle"
        records = _records(arrays, json.loads(str(file["noise"])), exact)
        return Oracle(meta, state_dict, file["x"].astype(np.float32), records)


def drawn(key: str, shape: tuple[int, ...], factor: np.float32) -> np.ndarray:
    """The weight of this name: the top 24 bits of Philox blocks as [-1, 1), exact in float32, times `factor`."""
    digest = hashlib.sha256(f"danet-oracle:{key}".encode()).digest()
    blocks = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(int(np.prod(shape)))
    unit = (blocks >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return (unit * np.float32(factor)).reshape(shape)


def _records(arrays: Mapping[str, np.ndarray], noise: Mapping[str, float], exact: bool) -> dict[str, Record]:
    """`exact` says whether the owner's upsampling is; Paddle's takes its coordinates in float32, so that its
    `full` is made again from `low`."""
    records = {}
    for ours, names in LOGITS.items():
        for theirs in names:
            if f"low64__{theirs}" in arrays:
                low = arrays[f"low64__{theirs}"]
                records[f"{ours}_logits"] = Record(low, None, noise[f"low/{theirs}"], rounded=False)
            if f"full64__{theirs}" in arrays:
                full = arrays[f"full64__{theirs}"] if exact else asymmetric(low, arrays["pos"])
                records[ours] = Record(full, arrays["pos"], noise[f"full/{theirs}"], rounded=False)
    head = DRANET_FEATURES if "feat__clgd" in arrays else DANET_FEATURES
    features = head if "fused" in records else BACKBONE_FEATURES
    for theirs, ours in features.items():
        values, positions = arrays[f"feat__{theirs}"], arrays[f"fpos__{theirs}"]
        records[ours] = Record(values, positions, noise[f"feat/{theirs}"], rounded=True)
    return records


def asymmetric(low: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Logits (1, C, h, w) upsampled on Paddle's grid to SIZE, at rows and columns `positions`: (points, C)."""
    rows, columns = positions.T
    return resize(low, *SIZE, "asymmetric")[0][:, rows, columns].T


def departures(oracle: Oracle, arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Name -> greatest absolute difference of our stage or output (1, C, H, W) from what was recorded."""
    return {
        name: float(np.abs(record.part_of(arrays[name]).astype(np.float64) - record.values).max())
        for name, record in oracle.records.items()
    }

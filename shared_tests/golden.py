"""Goldens: what the reference gave when they were recorded, so that truth itself cannot drift unnoticed.

A file holds no arrays whole: of every stage, output and updated statistic it keeps the shape, 64 values
at positions drawn by a rule, the largest absolute value and the sum, all in float64.

    python -m shared_tests.golden           record every case again
    python -m shared_tests.golden tiny r18  only these
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common.atomic import atomic_file
from danet_common.config import DANetConfig
from shared_tests import reference
from shared_tests.golden_cases import CASES, Case
from shared_tests.rule import rule_input, rule_positions, rule_tensors

FOLDER = Path(__file__).parent / "goldens"
SAMPLES = 64


@dataclass(frozen=True)
class Sample:
    """A few values of one array, in C order of its canonical (N,C,H,W) layout, and two sums over all of it."""

    shape: tuple[int, ...]
    values: NDArray[np.float64]
    largest: float
    total: float


@dataclass(frozen=True)
class Golden:
    """One recorded case. `digest` is the SHA-256 of its weights and input; samples go by name."""

    case: Case
    digest: str
    stages: dict[str, Sample]
    outputs: dict[str, Sample]
    statistics: dict[str, Sample]


def sample(name: str, array: NDArray[Any]) -> Sample:
    """Sample an array at the positions that depend on its name and size alone; all of a small one."""
    flat = np.asarray(array, np.float64).reshape(-1)
    values = flat if flat.size <= SAMPLES else flat[rule_positions(name, SAMPLES, flat.size)]
    return Sample(array.shape, values, float(np.abs(flat).max()), float(flat.sum()))


def departure(golden: Sample, found: Sample) -> float:
    """How far one sample is from the golden, relative to its largest value; inf for another shape or for NaN.

    The sum counts as a mean, so that it weighs like one value.
    """
    if found.shape != golden.shape:
        return np.inf
    size = max(int(np.prod(golden.shape)), 1)
    errors = [*(found.values - golden.values), found.largest - golden.largest, (found.total - golden.total) / size]
    worst = float(np.abs(errors).max())
    if not np.isfinite(worst):
        return np.inf
    return worst / golden.largest if golden.largest else worst


def record(case: Case) -> Golden:
    """Run the reference on a case."""
    tensors, x = rule_tensors(case.config), rule_input(case.config, case.batch, case.height, case.width)
    result = reference.forward(case.config, tensors, x, training=case.training, stages="all")
    groups: list[dict[str, NDArray[Any]]] = [result.stages, result.outputs, result.statistics]
    stages, outputs, statistics = ({name: sample(name, array) for name, array in group.items()} for group in groups)
    return Golden(case, _digest({**tensors, "input": x}), stages, outputs, statistics)


def write(golden: Golden, path: Path) -> None:
    """Write a golden, atomically. The bytes depend on the content alone."""
    case = golden.case
    groups = {"stages": golden.stages, "outputs": golden.outputs, "statistics": golden.statistics}
    samples = [one for group in groups.values() for one in group.values()]
    header = {
        "config": case.config.to_dict(),
        "input": [case.batch, case.height, case.width],
        "training": case.training,
        "digest": golden.digest,
        **{group: {name: list(one.shape) for name, one in content.items()} for group, content in groups.items()},
    }
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            header=np.array(json.dumps(header)),
            values=np.concatenate([one.values for one in samples]),
            largest=np.array([one.largest for one in samples]),
            total=np.array([one.total for one in samples]),
        )


def read(name: str) -> Golden:
    """Read the golden of a case. Raises KeyError for a name that is no case."""
    if name not in CASES:
        raise KeyError(f"no golden {name}; there are {', '.join(CASES)}")
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        header, values, largest, total = (file[key] for key in ("header", "values", "largest", "total"))
    content = json.loads(str(header))
    batch, height, width = content["input"]
    case = Case(DANetConfig.from_dict(content["config"]), batch, height, width, content["training"])
    groups: list[dict[str, Sample]] = []
    start = index = 0
    for group in ("stages", "outputs", "statistics"):
        samples = {}
        for key, shape in content[group].items():
            stop = start + min(int(np.prod(shape)), SAMPLES)
            samples[key] = Sample(tuple(shape), values[start:stop], float(largest[index]), float(total[index]))
            start, index = stop, index + 1
        groups.append(samples)
    return Golden(case, content["digest"], *groups)


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).data)
    return digest.hexdigest()


def main(names: list[str]) -> None:
    """Record the named cases, or all of them."""
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise SystemExit(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names or CASES:
        write(record(CASES[name]), FOLDER / f"{name}.npz")


if __name__ == "__main__":
    main(sys.argv[1:])

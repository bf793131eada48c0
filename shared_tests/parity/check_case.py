"""The check that every network here has to pass: all that it computes in a case, against the float64 reference.

    report = check_case(CASES["tiny"], worker, checkpoint_of)
    assert report.agrees, (report.first_mismatch, report.cause)

The parity suite, the mutations and outside implementations are held to the same one; for the last,
`python -m shared_tests.parity.check_adapter ADAPTER.py` checks an adapter (see docs/judging.md).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common.config import DANetConfig
from danet_common.numerics.taps import tap_names
from shared_tests import reference
from shared_tests.fixtures.cases import Case
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors
from shared_tests.parity.compare import ComparisonReport, compare
from shared_tests.parity.profiles import FLOAT64_TOLERANCE
from shared_tests.workers.protocol import Adapter, Request, Response

# float16 is asked only to stay finite: its rounding makes saturated softmaxes choose otherwise.
TOLERANCES = {"float64": FLOAT64_TOLERANCE, "float16": sys.float_info.max}

Arrays = Mapping[str, NDArray[Any]]
CheckpointOf = Callable[[DANetConfig], str]


def check_case(
    case: Case,
    network: Adapter,
    checkpoint_of: CheckpointOf,
    *,
    mode: str = "eager",
    dtype: str = "float64",
    offset: float = 0.0,
    taps: Collection[str] | None = None,
    layers: str = "memory_efficient",
) -> ComparisonReport:
    """Run one case on a network and compare its taps, its outputs and, in training, its updated statistics.

    `network` is a Worker or any adapter; `checkpoint_of` gives the path of a config's synthetic checkpoint;
    `offset` is added to the input; `taps` are those to ask for, all of them if None; `layers` names a layer set.
    """
    checkpoint = checkpoint_of(case.config)
    request = request_of(case, checkpoint, mode=mode, dtype=dtype, offset=offset, taps=taps, layers=layers)
    unasked = set(tap_names(case.config)) - set(request.taps)
    expected_values = {name: array for name, array in expected(case, offset).items() if name not in unasked}
    return compare(expected_values, named(network.run(request)), TOLERANCES[dtype])


def request_of(
    case: Case,
    checkpoint: str,
    *,
    mode: str = "eager",
    dtype: str = "float64",
    offset: float = 0.0,
    taps: Collection[str] | None = None,
    layers: str = "memory_efficient",
) -> Request:
    """The case as a backend is asked it."""
    return Request(
        checkpoint=checkpoint,
        x=case_input(case, offset),
        dtype=dtype,
        mode=mode,
        layers=layers,
        training=case.training,
        taps=tuple(name for name in tap_names(case.config) if taps is None or name in taps),
    )


def case_input(case: Case, offset: float = 0.0) -> NDArray[np.float32]:
    """The synthetic input of a case, moved by `offset`."""
    return synthetic_input(case.config, case.batch, case.height, case.width) + np.float32(offset)


@functools.lru_cache(maxsize=4)  # several networks and modes are held to the same arrays, one after the other
def expected(case: Case, offset: float = 0.0) -> Arrays:
    """Compute the taps, outputs and updated statistics of a case with the reference, by name."""
    tensors, x = synthetic_tensors(case.config), case_input(case, offset)
    result = reference.forward(case.config, tensors, x, training=case.training, taps="all")
    return {**result.taps, **result.outputs, **result.statistics}


def named(response: Response) -> Arrays:
    """All that a backend computed, by name."""
    return {**response.taps, **response.outputs, **response.statistics}

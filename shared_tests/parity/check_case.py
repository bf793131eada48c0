"""The judgement that every network here has to pass: all it computes in a case, against the float64 reference.

    verdict = judge(CASES["tiny"], worker, checkpoint_of)
    assert verdict.agrees, (verdict.first_departure, verdict.cause)

The parity suite, the mutations and outside implementations are held to the same one; for the last,
`python -m shared_tests.parity.check_adapter ADAPTER.py` judges an adapter (see docs/judging.md).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common.config import DANetConfig
from danet_common.stages import stage_names
from shared_tests import reference
from shared_tests.fixtures.cases import Case
from shared_tests.fixtures.synthetic import rule_input, rule_tensors
from shared_tests.parity.compare import Verdict, compare
from shared_tests.parity.profiles import FLOAT64_TOLERANCE
from shared_tests.workers.protocol import Adapter, Answer, Job

# float16 is asked only to stay finite: its rounding makes saturated softmaxes choose otherwise.
TOLERANCES = {"float64": FLOAT64_TOLERANCE, "float16": sys.float_info.max}

Arrays = Mapping[str, NDArray[Any]]
CheckpointOf = Callable[[DANetConfig], str]


def judge(
    case: Case,
    network: Adapter,
    checkpoint_of: CheckpointOf,
    *,
    mode: str = "eager",
    dtype: str = "float64",
    offset: float = 0.0,
    stages: Collection[str] | None = None,
    folded: bool = False,
    winograd: bool = False,
) -> Verdict:
    """Run one case on a network and compare its stages, its outputs and, in training, its updated statistics.

    `network` is a Worker or any adapter; `checkpoint_of` gives the path of a config's rule checkpoint;
    `offset` is added to the input; `stages` are those to ask for, all of them if None; `folded` asks for a network
    without BatchNorm, `winograd` for one with transformed kernels.
    """
    checkpoint = checkpoint_of(case.config)
    job = job_of(
        case, checkpoint, mode=mode, dtype=dtype, offset=offset, stages=stages, folded=folded, winograd=winograd
    )
    unasked = set(stage_names(case.config)) - set(job.stages)
    wanted = {name: array for name, array in truth(case, offset).items() if name not in unasked}
    return compare(wanted, named(network.run(job)), TOLERANCES[dtype])


def job_of(
    case: Case,
    checkpoint: str,
    *,
    mode: str = "eager",
    dtype: str = "float64",
    offset: float = 0.0,
    stages: Collection[str] | None = None,
    folded: bool = False,
    winograd: bool = False,
) -> Job:
    """The case as a backend is asked it."""
    return Job(
        checkpoint=checkpoint,
        x=case_input(case, offset),
        dtype=dtype,
        mode=mode,
        folded=folded,
        winograd=winograd,
        training=case.training,
        stages=tuple(name for name in stage_names(case.config) if stages is None or name in stages),
    )


def case_input(case: Case, offset: float = 0.0) -> NDArray[np.float32]:
    """The rule's input of a case, moved by `offset`."""
    return rule_input(case.config, case.batch, case.height, case.width) + np.float32(offset)


@functools.lru_cache(maxsize=4)  # several networks and modes are held to one truth, one after the other
def truth(case: Case, offset: float = 0.0) -> Arrays:
    """What the reference computes in a case: stages, outputs and updated statistics, by name."""
    tensors, x = rule_tensors(case.config), case_input(case, offset)
    result = reference.forward(case.config, tensors, x, training=case.training, stages="all")
    return {**result.stages, **result.outputs, **result.statistics}


def named(answer: Answer) -> Arrays:
    """All that a backend computed, by name."""
    return {**answer.stages, **answer.outputs, **answer.statistics}

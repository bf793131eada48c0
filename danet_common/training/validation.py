"""Validation during training, by the procedure of `danet eval` without options."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
from jaxtyping import Int64

from danet_common.config import DANetConfig
from danet_common.data.dataset import Dataset
from danet_common.evaluation import PredictLogits, evaluate, get_protocol
from danet_common.training.framework import Distributed


class Abandoned(Exception):
    """A validation that was interrupted."""


def validate(
    infer: PredictLogits,
    config: DANetConfig,
    dataset: Dataset,
    distributed: Distributed,
    report: Callable[[int, int], None],
    abandoned: Callable[[], bool],
) -> Int64[np.ndarray, "k k"] | None:
    """Return the confusion matrix over all processes, or None where `abandoned` was true in one of them.

    report  called with the number of images that this process has evaluated, and of all that it will
    """
    index, processes = distributed.process_index, distributed.process_count
    total, done = len(range(index, len(dataset), processes)), count(1)
    matrix = np.zeros((config.num_classes, config.num_classes), np.int64)

    def evaluated(name: str, so_far: Int64[np.ndarray, "k k"]) -> None:
        if abandoned():
            raise Abandoned
        report(next(done), total)

    try:
        matrix = evaluate(
            infer, dataset, get_protocol("auto"), config, shard_index=index, shard_count=processes, report=evaluated
        )
        interrupted = 0
    except Abandoned:
        interrupted = 1
    if distributed.sum(np.array([interrupted]))[0]:
        return None
    return np.asarray(distributed.sum(matrix))

"""How well a network does on the validation data while it is trained: by `danet eval`'s procedure without options."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Int64

from danet_common.config import DANetConfig
from danet_common.data.dataset import Dataset
from danet_common.evaluation import Infer, evaluate, get_protocol


class Abandoned(Exception):
    """A validation that was asked to end before it was done."""


def judge(
    infer: Infer,
    config: DANetConfig,
    dataset: Dataset,
    engine: Any,
    report: Callable[[int, int], None],
    abandoned: Callable[[], bool],
) -> Int64[np.ndarray, "k k"] | None:
    """The confusion matrix over all processes, or None where one of them was asked to end before it was done.

    report  called with the number of pictures that this process has judged, and of all that it judges
    """
    index, processes = engine.process_index, engine.process_count
    own, done = len(range(index, len(dataset), processes)), count(1)
    matrix = np.zeros((config.num_classes, config.num_classes), np.int64)

    def judged(name: str, so_far: Int64[np.ndarray, "k k"]) -> None:
        if abandoned():
            raise Abandoned
        report(next(done), own)

    try:
        matrix = evaluate(
            infer, dataset, get_protocol("auto"), config, shard_index=index, shard_count=processes, report=judged
        )
        left = 0
    except Abandoned:
        left = 1
    if engine.sum(np.array([left]))[0]:
        return None
    return np.asarray(engine.sum(matrix))

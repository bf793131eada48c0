"""How well a network does on the validation data while it is trained: every picture whole, once, at its own size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64

from danet_common.data.dataset import Dataset
from danet_common.data.samples import each_sample
from danet_common.metrics import confusion_matrix


def judge(
    predict: Callable[[np.ndarray], np.ndarray],
    dataset: Dataset,
    engine: Any,
    report: Callable[[int, int], None],
    abandoned: Callable[[], bool],
) -> Int64[np.ndarray, "k k"] | None:
    """The confusion matrix over all processes, or None where one of them was asked to end before it was done.

    report  called with the number of pictures that this process has judged, and of all that it judges
    """
    matrix = np.zeros((dataset.num_classes, dataset.num_classes), np.int64)
    count = len(range(engine.process_index, len(dataset), engine.process_count))
    shards = {"shard_index": engine.process_index, "shard_count": engine.process_count}
    for done, (_, sample) in enumerate(each_sample(dataset, **shards), start=1):
        if abandoned():
            break
        matrix += confusion_matrix(sample.labels, predict(sample.image), dataset.num_classes)
        report(done, count)
    if engine.sum(np.array([int(abandoned())]))[0]:
        return None
    return np.asarray(engine.sum(matrix))

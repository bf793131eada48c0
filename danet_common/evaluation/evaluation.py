"""Evaluate a network on a data set: its confusion matrix."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import islice

import numpy as np
from jaxtyping import Int64

from danet_common.config import DANetConfig
from danet_common.data.dataset import Dataset
from danet_common.data.loader import each_sample
from danet_common.evaluation.metrics import confusion_matrix
from danet_common.evaluation.prediction import PredictLogits, predict_labels
from danet_common.evaluation.protocol import Protocol

Report = Callable[[str, Int64[np.ndarray, "k k"]], None]  # (item's name, matrix of all items so far)


def evaluate(
    predict_logits: PredictLogits,
    dataset: Dataset,
    protocol: Protocol,
    config: DANetConfig,
    *,
    shard_index: int = 0,
    shard_count: int = 1,
    limit: int | None = None,
    report: Report | None = None,
) -> Int64[np.ndarray, "k k"]:
    """Return the pixels by true class (row) and predicted class (column), of all items or of the first `limit`.

    Process `shard_index` evaluates every `shard_count`th item; the matrices of all processes add up to the result of
    one. `report` is called after each item. Raises ValueError unless network and data have the same number of classes,
    and DataError for an unreadable item.
    """
    require_same_classes(dataset, config)
    matrix = np.zeros((config.num_classes, config.num_classes), np.int64)
    count = len(dataset) if limit is None else min(limit, len(dataset))
    own = len(range(shard_index, count, shard_count))
    with closing(each_sample(dataset, shard_index=shard_index, shard_count=shard_count)) as samples:
        for _, sample in islice(samples, own):
            prediction = predict_labels(predict_logits, sample.image, protocol, config)
            matrix += confusion_matrix(sample.labels, prediction, config.num_classes)
            if report is not None:
                report(sample.name, matrix)
    return matrix


def require_same_classes(dataset: Dataset, config: DANetConfig) -> None:
    """Raise ValueError unless network and data have the same number of classes."""
    if dataset.num_classes != config.num_classes:
        raise ValueError(f"the network has {config.num_classes} classes, {dataset.title} has {dataset.num_classes}")

"""The training loss and its gradient in float64 NumPy, pixel by pixel from the definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from danet_common.config.recipe import TrainConfig
from shared_tests.reference.operations import Array


def cross_entropy(logits: Array, labels: NDArray[np.integer], recipe: TrainConfig) -> tuple[float, Array]:
    """Loss of logits (N, C, H, W) and labels (N, H, W), and its gradient by the logits.

    sum over pixels of weight * -log(p[label]) / sum of weights, p = softmax(logits); its gradient is
    weight * (p - onehot) / sum of weights. With `loss_mean` all_pixels, both are divided by N * H * W instead.
    """
    classes = logits.shape[1]
    rows = logits.transpose(0, 2, 3, 1).reshape(-1, classes)
    counted = [i for i, label in enumerate(labels.flat) if label != recipe.ignore_index and 0 <= label < classes]
    exponential = np.exp(rows - rows.max(axis=1, keepdims=True))
    p = exponential / exponential.sum(axis=1, keepdims=True)
    expected = {i: int(labels.flat[i]) for i in counted}
    if recipe.ohem_threshold is not None:
        hardest = sorted(counted, key=lambda i: p[i, expected[i]])[: recipe.ohem_min_kept * len(logits)]
        counted = [i for i in counted if p[i, expected[i]] < recipe.ohem_threshold or i in set(hardest)]
    weights = {i: 1.0 if recipe.class_weights is None else recipe.class_weights[expected[i]] for i in counted}
    total = sum(weights.values()) if recipe.loss_mean == "labelled_pixels" else labels.size
    gradient = np.zeros_like(rows)
    if total == 0:
        return 0.0, np.zeros_like(logits)
    value = 0.0
    for i, weight in weights.items():
        value -= weight * np.log(p[i, expected[i]])
        gradient[i] = weight * (p[i] - np.eye(classes)[expected[i]])
    back = gradient.reshape(len(logits), *logits.shape[2:], classes).transpose(0, 3, 1, 2)
    return value / total, back / total

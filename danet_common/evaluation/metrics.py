"""Scores of predicted labels, from a confusion matrix.

With n[t, p] pixels of true class t predicted as p (Long et al., CVPR 2015; Everingham et al., 2015):

    IoU[c]          n[c, c] / (sum_p n[c, p] + sum_t n[t, c] - n[c, c])
    mean IoU        mean over the classes in the true labels or the predictions
    pixel accuracy  sum_c n[c, c] / sum n
    accuracy[c]     n[c, c] / sum_p n[c, p];  its mean is over the classes in the true labels

Pixels of void (255) are not counted. The matrices of all images are summed before any division.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Integer

from danet_common.data.dataset import IGNORE


def confusion_matrix(
    labels: Integer[np.ndarray, "*n"],
    prediction: Integer[np.ndarray, "*n"],
    num_classes: int,
) -> Int64[np.ndarray, "k k"]:
    """Return the pixels by true class (row) and predicted class (column).

    Raises ValueError for different shapes, and for a label that is not ignored or its prediction out of range.
    """
    if labels.shape != prediction.shape:
        raise ValueError(f"labels are {labels.shape}, the prediction is {prediction.shape}")
    valid = labels != IGNORE
    true, predicted = labels[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, values in (("labels", true), ("the prediction", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(
                f"{name} must be from 0 to {num_classes - 1}, or be ignored; got {values.min()} to {values.max()}"
            )
    return np.bincount(true * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix: NaN for a class without a score, 0 for a mean over no class."""

    iou: Float64[np.ndarray, " k"]
    accuracy: Float64[np.ndarray, " k"]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the scores, JSON-ready, by class name; None for a class without a score."""
        return {
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "iou": _by_name(names, self.iou),
            "accuracy": _by_name(names, self.accuracy),
        }


def _by_name(names: Sequence[str], values: Float64[np.ndarray, " k"]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}


def scores(matrix: Integer[np.ndarray, "k k"]) -> Scores:
    """Return all scores of a confusion matrix, in float64."""
    right = matrix.diagonal().astype(np.float64)
    true, predicted = matrix.sum(axis=1).astype(np.float64), matrix.sum(axis=0).astype(np.float64)
    iou, accuracy = _ratio(right, true + predicted - right), _ratio(right, true)
    return Scores(
        iou=iou,
        accuracy=accuracy,
        mean_iou=_mean(iou),
        mean_accuracy=_mean(accuracy),
        pixel_accuracy=float(right.sum() / max(true.sum(), 1)),
    )


def _ratio(part: Float64[np.ndarray, " k"], total: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    return np.divide(part, total, out=np.full(total.shape, np.nan), where=total > 0)


def _mean(values: Float64[np.ndarray, " k"]) -> float:
    """Return the mean of the classes with a score, or 0 without any."""
    scored = values[~np.isnan(values)]
    return float(scored.mean()) if scored.size else 0.0

"""How well predicted labels agree with the true ones, from a confusion matrix.

With n[t, p] pixels of true class t predicted as p (Long et al., CVPR 2015; Everingham et al., 2015):

    IoU[c]          n[c, c] / (sum_p n[c, p] + sum_t n[t, c] - n[c, c])
    mean IoU        the mean over classes that are among the true labels or the predictions
    pixel accuracy  sum_c n[c, c] / sum n
    accuracy[c]     n[c, c] / sum_p n[c, p];  its mean is over classes that are among the true labels

A class that is in neither has no IoU and is left out of the mean: it is neither 0 nor 1. Pixels labelled
`ignore_index` count nowhere, whatever is predicted there. Matrices of parts of a data set are summed before
anything is divided: the IoU is that of all pixels, never a mean over images.
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
    ignore_index: int = IGNORE,
) -> Int64[np.ndarray, "k k"]:
    """Pixels by true class (row) and predicted class (column).

    Raises ValueError where the shapes differ, or where a label that is not ignored or its prediction is no class.
    """
    if labels.shape != prediction.shape:
        raise ValueError(f"labels are {labels.shape}, the prediction is {prediction.shape}")
    judged = labels != ignore_index
    true, predicted = labels[judged].astype(np.int64), prediction[judged].astype(np.int64)
    for name, values in (("labels", true), ("the prediction", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(
                f"{name} must be from 0 to {num_classes - 1}, or be ignored; got {values.min()} to {values.max()}"
            )
    return np.bincount(true * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """The figures of one confusion matrix; NaN for a class that has none, 0 for a mean over no class."""

    iou: Float64[np.ndarray, " k"]
    accuracy: Float64[np.ndarray, " k"]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """JSON-ready, classes by name; None for a class that has no figure."""
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
    """All figures of a confusion matrix, in float64."""
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


def _ratio(part: Float64[np.ndarray, " k"], whole: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean(values: Float64[np.ndarray, " k"]) -> float:
    """Over those that are there; 0 where none is, so that an evaluation of void alone ends with a number."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else 0.0


def merged(matrices: Sequence[Integer[np.ndarray, "k k"]]) -> Int64[np.ndarray, "k k"]:
    """The matrix of all pixels together, from those of images or processes."""
    return np.stack(matrices).astype(np.int64).sum(axis=0)

"""Metrics against a loop over pixels, and against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from danet_common.evaluation.metrics import confusion_matrix, scores

NAN = float("nan")


def pluralise(labels: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """The confusion matrix, pixel by pixel."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for true, predicted in zip(labels.reshape(-1), prediction.reshape(-1), strict=True):
        if true != 255:
            matrix[true, predicted] += 1
    return matrix


def test_matrix_is_that_of_a_loop() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 6, (3, 7, 5)).astype(np.uint8)
    labels[generator.random(labels.shape) < 0.2] = 255
    prediction = generator.integers(0, 6, labels.shape).astype(np.int32)
    matrix = confusion_matrix(labels, prediction, 6)
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix, pluralise(labels, prediction, 6))


def test_figures_worked_out_by_hand() -> None:
    actual = scores(np.array([[3, 1, 0, 0], [2, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(actual.iou, [3 / 6, 4 / 7, NAN, NAN])
    np.testing.assert_array_equal(actual.accuracy, [3 / 4, 4 / 6, NAN, NAN])
    assert actual.mean_iou == (3 / 6 + 4 / 7) / 2
    assert actual.mean_accuracy == (3 / 4 + 4 / 6) / 2
    assert actual.pixel_accuracy == 7 / 10
    assert actual.iou.dtype == np.float64


def test_a_class_only_predicted_counts_as_zero_in_the_mean_iou_alone() -> None:
    actual = scores(np.array([[2, 1, 0], [0, 0, 0], [0, 0, 3]]))
    np.testing.assert_array_equal(actual.iou, [2 / 3, 0, 1])
    np.testing.assert_array_equal(actual.accuracy, [2 / 3, NAN, 1])
    assert actual.mean_iou == (2 / 3 + 0 + 1) / 3
    assert actual.mean_accuracy == (2 / 3 + 1) / 2


def test_void_counts_nowhere_whatever_is_predicted_there() -> None:
    labels = np.array([0, 255, 255, 1], np.uint8)
    prediction = np.array([0, 1, 250, 1])
    assert confusion_matrix(labels, prediction, 2).tolist() == [[1, 0], [0, 1]]


def test_all_void_is_finite() -> None:
    matrix = confusion_matrix(np.full((2, 3), 255, np.uint8), np.zeros((2, 3), np.uint8), 4)
    actual = scores(matrix)
    assert (actual.mean_iou, actual.mean_accuracy, actual.pixel_accuracy) == (0.0, 0.0, 0.0)
    assert actual.to_dict(list("abcd"))["iou"] == dict.fromkeys("abcd")


def test_parts_sum_to_the_total() -> None:
    generator = np.random.default_rng(1)
    labels, prediction = generator.integers(0, 3, (2, 4, 50))
    parts = [confusion_matrix(true, predicted, 3) for true, predicted in zip(labels, prediction, strict=True)]
    total = np.sum(parts, axis=0)
    assert total.dtype == np.int64
    assert np.array_equal(total, confusion_matrix(labels, prediction, 3))
    mean_of_parts = np.mean([scores(part).mean_iou for part in parts])
    assert scores(total).mean_iou != mean_of_parts  # the IoU is that of all pixels


def test_large_counts_stay_exact() -> None:
    matrix = np.full((2, 2), 2**40 + 1, np.int64)
    assert np.sum([matrix] * 3) == 12 * (2**40 + 1)


@pytest.mark.parametrize(
    ("labels", "prediction", "reason"),
    [
        ([0, 254], [0, 0], "labels must be from 0 to 2, or be ignored; got 0 to 254"),
        ([0, -1], [0, 0], "labels must be"),
        ([0, 1], [0, 3], "the prediction must be"),
        ([0, 1], [0], "labels are"),
    ],
)
def test_what_is_no_class_is_refused(labels: list[int], prediction: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        confusion_matrix(np.array(labels), np.array(prediction), 3)


def test_254_is_a_class_like_others() -> None:
    matrix = confusion_matrix(np.array([254, 255], np.uint8), np.array([254, 0], np.uint8), 255)
    assert matrix[254, 254] == matrix.sum() == 1


def test_a_dictionary_is_ready_for_json() -> None:
    actual = scores(np.array([[1, 1], [0, 0]])).to_dict(["road", "sky"])
    assert actual == {
        "mean_iou": 0.25,
        "pixel_accuracy": 0.5,
        "mean_accuracy": 0.5,
        "iou": {"road": 0.5, "sky": 0.0},
        "accuracy": {"road": 0.5, "sky": None},
    }

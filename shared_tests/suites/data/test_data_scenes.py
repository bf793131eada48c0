"""The generated scenes: the same everywhere, each different, every class in them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from danet_common.data import IGNORE, open_dataset
from danet_common.data.canvas import Canvas, ellipse, rectangle, trapezoid
from danet_common.data.scenes import Scenes
from danet_common.numerics.keyed_random import KeyedRandom

# SHA-256 of image and labels: a scene is the same on every platform and with every version of everything.
GOLDEN = {
    ("train", 0): "939cee91795dcd07",
    ("train", 255): "fd6e8a1b76498699",
    ("val", 0): "3780115542a3d8dc",
}


@pytest.mark.parametrize(("split", "index"), GOLDEN)
def test_scenes_never_change(split: str, index: int) -> None:
    sample = open_dataset("scenes", split).item(index)
    digest = hashlib.sha256(sample.image.tobytes() + sample.labels.tobytes()).hexdigest()
    assert digest[:16] == GOLDEN[split, index]


def test_a_scene_does_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(open_dataset("scenes:3", "val").item(2).image, open_dataset("scenes", "val").item(2).image)
    assert len(open_dataset("scenes:3", "val")) == 3


def test_all_are_different_in_all_splits() -> None:
    datasets = [Scenes(20, split) for split in ("train", "val", "test")]
    assert len({dataset.item(index).image.tobytes() for dataset in datasets for index in range(20)}) == 60


def test_every_class_is_there_and_little_is_void() -> None:
    dataset = open_dataset("scenes:40", "train")
    dataset.check()
    labels = np.stack([dataset.item(index).labels for index in range(len(dataset))])
    shares = np.bincount(labels.reshape(-1), minlength=256) / labels.size
    assert shares[: dataset.num_classes].min() > 0.02
    assert shares[: dataset.num_classes].sum() + shares[IGNORE] == 1
    assert 0.02 < shares[IGNORE] < 0.12


def test_colour_alone_does_not_tell_the_class() -> None:
    """A network must look at more than one pixel: nearest mean colours are right about some pixels, not most."""
    samples = [open_dataset("scenes:40", "train").item(index) for index in range(40)]
    pixels = np.concatenate([sample.image.reshape(-1, 3) for sample in samples]).astype(np.float64)
    labels = np.concatenate([sample.labels.reshape(-1) for sample in samples])
    pixels, labels = pixels[labels != IGNORE], labels[labels != IGNORE]
    means = np.stack([pixels[labels == label].mean(axis=0) for label in range(7)])
    guess = ((pixels[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.3 < (guess == labels).mean() < 0.7


@pytest.mark.parametrize(("height", "width"), [(33, 47), (200, 90)])
def test_other_sizes(height: int, width: int) -> None:
    sample = Scenes(1, "train", height, width).item(0)
    assert sample.image.shape == (height, width, 3)
    assert sample.labels.shape == (height, width)


def test_draws_are_pinned() -> None:
    draws = KeyedRandom("test", 1)
    assert [draws.integer(0, 999) for _ in range(3)] == [721, 420, 851]
    assert draws.fraction() == 0.5797784148150252
    assert draws.bytes(1, 3).tolist() == [[216, 240, 237]]


def test_draws_cover_their_range() -> None:
    draws = KeyedRandom("range")
    assert {draws.integer(-1, 1) for _ in range(100)} == {-1, 0, 1}
    values = [draws.uniform(0.5, 2.0) for _ in range(1000)]
    assert 0.5 <= min(values) < 0.51
    assert 1.99 < max(values) < 2.0
    assert not any(draws.chance(0) for _ in range(100))
    assert all(draws.chance(1) for _ in range(100))


def test_what_is_painted_outside_is_cut_off() -> None:
    canvas = Canvas(4, 4)
    for top, left in ((-1, -1), (3, 3), (9, 0), (0, 9), (-9, 0), (0, -9)):
        canvas.paint(top, left, rectangle(2, 2), 1, (1, 2, 3))
    assert canvas.labels.sum() == 2
    assert canvas.colours[0, 0].tolist() == canvas.colours[3, 3].tolist() == [1, 2, 3]


def test_shapes() -> None:
    assert ellipse(3, 5).tolist() == [[False, True, True, True, False], [True] * 5, [False, True, True, True, False]]
    assert trapezoid(3, 2, 6).sum(axis=1).tolist() == [2, 4, 6]
    leaning = trapezoid(3, 1, 1, lean=2)
    assert leaning.tolist() == np.eye(5, dtype=bool)[[4, 3, 2]].tolist()

"""Augmentation: image and labels stay together, and each setting does what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from danet_common.data import IGNORE, Augmentation
from danet_common.data.augmentation import augment
from danet_common.data.colour import change_colour, colour_matrix, mean_grey
from danet_common.data.resizing import fitted, nearest, scaled, with_long_side, with_short_side
from danet_common.numerics.keyed_random import KeyedRandom

OFF = Augmentation(crop=(8, 10), scale=(1, 1), flip=0)
PADDING = (124, 116, 104)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The labels at the pixels in which the centres lie."""
    return labels[nearest(labels.shape[0], height)[:, None], nearest(labels.shape[1], width)]


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red is its labels, which change every 4 pixels."""
    labels = (np.add.outer(np.arange(height) // 4, 7 * (np.arange(width) // 4)) % 250).astype(np.uint8)
    return np.stack([labels, 255 - labels, np.full_like(labels, 9)], axis=2), labels


def test_all_off_is_the_picture_itself() -> None:
    image, labels = picture(8, 10)
    actual = augment(image, labels, OFF, KeyedRandom("x"), PADDING)
    assert np.array_equal(actual[0], image)
    assert np.array_equal(actual[1], labels)


@pytest.mark.parametrize(("height", "width"), [(5, 10), (8, 3), (1, 1)])
def test_small_pictures_are_padded_with_the_mean_colour_and_void(height: int, width: int) -> None:
    image, labels = picture(height, width)
    padded, new_labels = augment(image, labels, OFF, KeyedRandom("x"), PADDING)
    assert np.array_equal(padded[:height, :width], image)
    assert (padded[height:] == PADDING).all()
    assert (padded[:, width:] == PADDING).all()
    assert np.array_equal(new_labels[:height, :width], labels)
    assert (new_labels[height:] == IGNORE).all()
    assert (new_labels[:, width:] == IGNORE).all()


def test_crops_are_parts_of_the_picture_from_everywhere() -> None:
    image, labels = picture(40, 40)
    image[..., 1], image[..., 2] = np.arange(40)[:, None], np.arange(40)
    corners = set()
    for key in range(200):
        cropped, new_labels = augment(image, labels, OFF, KeyedRandom(key), PADDING)
        top, left = int(cropped[0, 0, 1]), int(cropped[0, 0, 2])
        assert np.array_equal(cropped, image[top : top + 8, left : left + 10])
        assert np.array_equal(new_labels, labels[top : top + 8, left : left + 10])
        corners.add((top, left))
    assert min(corners)[0] == 0
    assert max(corners)[0] == 32
    assert {left for _, left in corners} >= {0, 30}


def test_flip_turns_both() -> None:
    image, labels = picture(8, 10)
    flipped, new_labels = augment(
        image, labels, Augmentation(crop=(8, 10), scale=(1, 1), flip=1), KeyedRandom("x"), PADDING
    )
    assert np.array_equal(flipped, image[:, ::-1])
    assert np.array_equal(new_labels, labels[:, ::-1])


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.7, 2.0])
def test_scaled_labels_stay_with_their_image(factor: float) -> None:
    labels = np.repeat(np.arange(6, dtype=np.uint8) * 40, 20)[None].repeat(60, 0)  # broad stripes
    image = labels[..., None].repeat(3, 2)
    size = scaled(labels.shape, factor)
    whole = Augmentation(crop=size, scale=(factor, factor), flip=0)
    shown, new_labels = augment(image, labels, whole, KeyedRandom("x"), PADDING)
    assert set(np.unique(new_labels)) <= set(np.unique(labels))  # nearest: no label between two
    inside = np.ones(size, bool)
    for edge in range(20, 120, 20):
        inside[:, int((edge - 2) * factor) : int((edge + 2) * factor) + 1] = False
    assert np.array_equal(shown[..., 0][inside], new_labels[inside])


def test_a_crop_is_that_of_the_whole_picture_resized() -> None:
    """Only the crop is computed; it is what resizing everything and cropping then gives, to one rounding."""
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, 9, (37, 53), dtype=np.uint8)
    settings = Augmentation(crop=(16, 16), scale=(1.6, 1.6), flip=0)
    cropped, new_labels = augment(image, labels, settings, KeyedRandom("x"), PADDING)
    height, width = scaled((37, 53), 1.6)
    whole = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    places = [
        (top, left)
        for top in range(height - 15)
        for left in range(width - 15)
        if np.abs(whole[top : top + 16, left : left + 16] - cropped).max() <= 1
    ]
    assert len(places) == 1
    (top, left) = places[0]
    assert np.array_equal(resize_labels(labels, height, width)[top : top + 16, left : left + 16], new_labels)


def test_base_is_the_size_that_scale_one_means() -> None:
    image, labels = picture(20, 50)
    settings = Augmentation(crop=(40, 100), base=(100, 100), scale=(1, 1), flip=0)
    _, new_labels = augment(image, labels, settings, KeyedRandom("x"), PADDING)
    assert np.array_equal(new_labels, resize_labels(labels, 40, 100))


def test_largest_share_looks_for_a_crop_of_more_than_one_class() -> None:
    labels = np.zeros((8, 100), np.uint8)
    labels[:, 50:60] = 1
    image = np.zeros((8, 100, 3), np.uint8)
    settings = Augmentation(crop=(8, 20), scale=(1, 1), flip=0, largest_share=0.75)
    mixed = [np.unique(augment(image, labels, settings, KeyedRandom(key), PADDING)[1]).size == 2 for key in range(50)]
    assert np.mean(mixed) > 0.8  # of single crops 0.25
    void = np.full_like(labels, IGNORE)
    assert (augment(image, void, settings, KeyedRandom("x"), PADDING)[1] == IGNORE).all()


def test_colours_stay_without_a_range_and_change_with_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    assert change_colour(image, 0, 0, 0, 0, KeyedRandom("x")).tobytes() == pixels.tobytes()
    for b, c, s, h in np.diag([0.2, 0.5, 0.5, 36]).tolist():  # one of them at a time
        actual = [change_colour(image, b, c, s, h, KeyedRandom(key)).tobytes() for key in range(40)]
        assert 10 < sum(changed != pixels.tobytes() for changed in actual) < 30  # an even chance


def test_brightness_and_contrast_are_their_formula() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    key = next(key for key in range(99) if all(_chances(key)))
    draws = KeyedRandom(key)
    shift, gain = (draws.chance(0.5) and draws.uniform(-limit, limit) for limit in (0.1, 0.5))
    expected_values = np.floor(np.clip((np.arange(256) + 255 * shift) * (1 + gain), 0, 255) + 0.5)
    actual = np.asarray(change_colour(ramp, 0.1, 0.5, 0, 0, KeyedRandom(key)))[..., 0].reshape(-1)
    assert np.array_equal(actual, expected_values)


def _chances(key: int) -> tuple[bool, bool]:
    """True if brightness and contrast are on."""
    draws = KeyedRandom(key)
    first = draws.chance(0.5)
    draws.uniform(0, 1)
    return first, draws.chance(0.5)


def test_mmsegs_contrast_comes_first_or_last() -> None:
    """A saturated colour that contrast clips shows which came first; both orders must be seen."""
    image, orders = Image.new("RGB", (1, 1), (200, 120, 60)), set()
    for key in range(200):
        draws = KeyedRandom(key)
        (_, _), (more, c), (richer, s), (_, _), last = (
            *((draws.chance(0.5), draws.uniform(-limit, limit)) for limit in (0, 0.5, 0.5, 0)),
            draws.chance(0.5),
        )
        if more and richer and c > 0.3 and s < -0.2:
            actual = change_colour(image, 0, 0.5, 0.5, 0, KeyedRandom(key)).getpixel((0, 0))
            matrix = colour_matrix(1 + s, 0)
            table = [min(255, int(value * (1 + c) + 0.5)) for value in range(256)] * 3
            first = image.point(table).convert("RGB", matrix).getpixel((0, 0))
            after = image.convert("RGB", matrix).point(table).getpixel((0, 0))
            assert first != after
            assert actual == (after if last else first)
            orders.add(last)
    assert orders == {False, True}


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_paddles_changes_are_pillows(kind: str) -> None:
    """PaddleSeg calls ImageEnhance with a factor of 1 - range to 1 + range; ours is that to a rounding."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    enhancer = {"brightness": "Brightness", "contrast": "Contrast", "saturation": "Color"}[kind]
    bright, contrast, saturation = (0.4 * (name == kind) for name in ("brightness", "contrast", "saturation"))
    ranges = (bright, contrast, saturation, 0.0)
    factors = []
    for key in range(40):
        draws = KeyedRandom(key)
        drawn = [(draws.chance(0.5), draws.uniform(-limit, limit)) for limit in ranges]
        factors.append(
            next(1 + chosen * amount for (chosen, amount), limit in zip(drawn, ranges, strict=True) if limit)
        )
        expected = np.asarray(getattr(ImageEnhance, enhancer)(image).enhance(factors[-1]))
        actual = np.asarray(change_colour(image, bright, contrast, saturation, 0, KeyedRandom(key), "paddle"))
        assert np.abs(actual.astype(int) - expected).max() <= 1
    assert 0.6 <= min(factors) < 0.7
    assert 1.3 < max(factors) <= 1.4


def test_paddles_contrast_turns_about_the_mean_grey() -> None:
    ramp = Image.fromarray(np.arange(100, 200, dtype=np.uint8).reshape(10, 10)).convert("RGB")
    assert mean_grey(ramp) == 150  # 149.5, rounded half up
    actual = np.asarray(
        change_colour(ramp, 0, 0.4, 0, 0, KeyedRandom(next(k for k in range(9) if _second(k))), "paddle")
    )
    assert actual[5, 0, 0] == 150  # stays; about black it would not
    assert actual[0, 0, 0] != 100


def _second(key: int) -> bool:
    """True if the second of two changes is on."""
    draws = KeyedRandom(key)
    draws.chance(0.5), draws.uniform(0, 1)
    return draws.chance(0.5)


def test_paddles_order_is_drawn() -> None:
    """Brightness and contrast do not commute: both orders must be seen."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    orders = set()
    for key in range(60):
        draws = KeyedRandom(key)
        (bright, b), (contrast, c), _, _ = ((draws.chance(0.5), draws.uniform(-r, r)) for r in (0.4, 0.4, 0, 0))
        if bright and contrast and min(abs(b), abs(c)) > 0.1:
            actual = np.asarray(change_colour(ramp, 0.4, 0.4, 0, 0, KeyedRandom(key), "paddle")).astype(int)
            brighter = ImageEnhance.Brightness(ramp).enhance(1 + b)
            first = np.asarray(ImageEnhance.Contrast(brighter).enhance(1 + c)).astype(int)
            contrasted = ImageEnhance.Contrast(ramp).enhance(1 + c)
            second = np.asarray(ImageEnhance.Brightness(contrasted).enhance(1 + b)).astype(int)
            near = [np.abs(actual - order).max() <= 2 for order in (first, second)]
            assert any(near)
            orders.add(near.index(True))
    assert orders == {0, 1}


def test_scales_in_steps() -> None:
    image, labels = picture(20, 20)
    settings = Augmentation(crop=(40, 40), scale=(0.5, 2.0), scale_step=0.25, flip=0)
    sides = set()
    for key in range(120):
        _, new_labels = augment(image, labels, settings, KeyedRandom(key), PADDING)
        sides.add(int((new_labels[:, 0] != IGNORE).sum()))
    assert sides == {10, 15, 20, 25, 30, 35, 40}


def test_colour_matrix_leaves_greys_and_turns_full_circle() -> None:
    for saturation, degrees in ((0.5, 0), (1.5, 36), (1.3, -20)):
        matrix = np.reshape(colour_matrix(saturation, degrees), (3, 4))
        assert (matrix.sum(axis=1) == 1).all()
        assert (matrix * 4096 == np.rint(matrix * 4096)).all()  # so that Pillow's float32 sums are exact
    identity = np.eye(3, 4)
    assert np.array_equal(np.reshape(colour_matrix(1, 0), (3, 4)), identity)
    assert np.array_equal(np.reshape(colour_matrix(1, 360), (3, 4)), identity)
    grey = np.reshape(colour_matrix(0, 0), (3, 4))[:, :3]
    assert np.abs(grey - [0.299, 0.587, 0.114]).max() < 1e-3  # two roundings to 1 / 4096


def test_blur_smooths_the_image_alone() -> None:
    image, labels = picture(8, 10)
    settings = Augmentation(crop=(8, 10), scale=(1, 1), flip=0, blur=3)
    actual = [augment(image, labels, settings, KeyedRandom(key), PADDING) for key in range(20)]
    assert all(np.array_equal(new_labels, labels) for _, new_labels in actual)
    assert 4 < sum(not np.array_equal(shown, image) for shown, _ in actual) < 16


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop", (0, 4)),
        ("base", (4,)),
        ("scale", (2, 0.5)),
        ("scale", (0, 1)),
        ("scale", (0.5, math.inf)),
        ("blur", math.inf),
        ("flip", 1.5),
        ("largest_share", 0),
        ("contrast", -0.1),
        ("hue", 181),
        ("blur", -1),
    ],
)
def test_settings_without_meaning_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Augmentation(**{field: value})  # type: ignore[arg-type]


def test_sizes_are_the_published_ones() -> None:
    assert with_long_side((1024, 2048), 2048) == (1024, 2048)
    assert with_long_side((375, 500), 2048) == (1536, 2048)
    assert with_long_side((333, 500), 769) == (512, 769)  # 512.15
    assert with_short_side((500, 333), 520) == (781, 520)  # 780.78
    assert with_short_side((3, 2), 1) == (2, 1)  # 1.5, half up
    assert fitted((512, 683), 2048, 512) == (512, 683)
    assert fitted((300, 1600), 2048, 512) == (384, 2048)
    assert fitted((1600, 300), 2048, 512) == (2048, 384)
    assert scaled((3, 1), 0.5) == (2, 1)  # never 0


@pytest.mark.parametrize(("source", "target"), [(5, 5), (5, 10), (10, 5), (7, 3), (3, 7), (1, 4), (4, 1)])
def test_nearest_is_the_pixel_that_holds_the_centre(source: int, target: int) -> None:
    centres = (np.arange(target) + 0.5) * source / target
    assert nearest(source, target).tolist() == np.floor(centres).astype(int).tolist()
    assert nearest(source, target, 1, target - 1).tolist() == nearest(source, target).tolist()[1:]

"""Images in and masks out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danet_common import DANetConfig
from danet_common.config.classes import voc_colour_map
from danet_common.config.palettes import palette_of
from danet_common.data.camvid import CAMVID
from danet_common.data.cityscapes import CITYSCAPES
from danet_common.data.image import (
    ImageError,
    label_dtype,
    normalise,
    overlay,
    read_image,
    resize_image,
    software_of,
    write_image,
    write_mask,
)

GREY = DANetConfig(in_channels=1, mean=(0.5,), std=(0.25,))
ROTATED = 6  # EXIF orientation: the first row is the right side


def gradient(height: int = 5, width: int = 7) -> np.ndarray:
    """An RGB image whose pixels are all different."""
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def test_png_comes_back(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", gradient())
    assert np.array_equal(read_image(tmp_path / "a.png"), gradient())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(gradient(), -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    if mode == "I;16":
        image = Image.fromarray((np.arange(35).reshape(5, 7) * 1800).astype(np.uint16))
    else:
        image = Image.fromarray(gradient()).convert(mode)
    image.save(tmp_path / "a.tif")
    pixels = read_image(tmp_path / "a.tif")
    assert pixels.shape == (5, 7, 3)
    assert pixels.dtype == np.uint8
    assert len(np.unique(pixels)) > 1


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 1, 255]


def test_transparent_palette_keeps_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=b"\x00\xff")
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n then nothing"])
def test_no_image_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png: not an? .*image"):
        read_image(path)


def test_truncated_image_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"a\.jpg: not a readable image"):
        read_image(tmp_path / "a.jpg")


def test_what_is_not_there_or_has_no_range_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="floating-point"):
        read_image(tmp_path / "a.tif")


def test_normalise_is_the_published_formula() -> None:
    config = DANetConfig()
    expected = (gradient() / 255 - np.array(config.mean)) / np.array(config.std)
    actual = normalise(gradient(), config)
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() < 1e-6  # two float32 roundings of values below 3


def test_normalise_to_grey() -> None:
    grey = np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), 3, axis=2)
    actual = normalise(grey, GREY)
    assert actual.shape == (2, 3, 1)
    assert np.allclose(actual[..., 0], (grey[..., 0] / 255 - 0.5) / 0.25, atol=1e-6)


def test_normalise_refuses_what_it_cannot_mean() -> None:
    with pytest.raises(ValueError, match="takes 4"):
        normalise(gradient(), DANetConfig(in_channels=4, mean=(0.5,) * 4, std=(0.5,) * 4))
    with pytest.raises(ValueError, match="uint8"):
        normalise(gradient().astype(np.float32), DANetConfig())


def test_resize() -> None:
    assert np.array_equal(resize_image(gradient(), 5, 7), gradient())
    assert resize_image(gradient(), 9, 4).shape == (9, 4, 3)
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert np.array_equal(resize_image(flat, 3, 5), np.full((3, 5, 3), 77))


def test_mask_holds_labels_and_colours(tmp_path: Path) -> None:
    labels = np.array([[0, 18], [5, 2]], np.uint8)
    write_mask(tmp_path / "mask.png", labels, CITYSCAPES.colours)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image), labels)
        assert np.array(image.convert("RGB"))[0, 1].tolist() == list(CITYSCAPES.colours[18])


def test_who_made_a_png_is_told(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", np.zeros((2, 3), np.uint8), CITYSCAPES.colours, "danet predict")
    write_image(tmp_path / "b.png", gradient(), "danet predict")
    write_image(tmp_path / "c.png", gradient())
    (tmp_path / "d.png").write_text("no image")
    actual = {path.name: software_of(path) for path in tmp_path.iterdir()}
    assert actual == {"a.png": "danet predict", "b.png": "danet predict", "c.png": None, "d.png": None}


def test_mask_refuses_labels_beyond_a_byte(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="255"):
        write_mask(tmp_path / "mask.png", np.array([[256]], np.uint16), voc_colour_map(256))
    assert not list(tmp_path.iterdir())


def test_overlay_mixes() -> None:
    labels = np.array([[0, 1]])
    image = np.array([[[0, 0, 0], [200, 100, 50]]], np.uint8)
    palette = ((100, 100, 100), (0, 0, 0))
    assert np.array_equal(overlay(image, labels, palette, 0.0), image)
    assert overlay(image, labels, palette, 1.0).tolist() == [[[100, 100, 100], [0, 0, 0]]]
    assert overlay(image, labels, palette, 0.5).tolist() == [[[50, 50, 50], [100, 50, 25]]]
    with pytest.raises(ValueError, match="opacity"):
        overlay(image, labels, palette, 2.0)


def test_voc_colours_are_the_published_ones() -> None:
    expected = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert voc_colour_map(5) == expected
    assert voc_colour_map(21)[20] == (0, 64, 128)
    assert len(set(voc_colour_map(256))) == 256


def test_palette_follows_the_config() -> None:
    assert palette_of(DANetConfig()) == CITYSCAPES.colours
    assert palette_of(DANetConfig(num_classes=11)) == CAMVID.colours
    assert palette_of(DANetConfig(num_classes=21)) == voc_colour_map(21)
    assert palette_of(DANetConfig(class_names=CITYSCAPES.names)) == CITYSCAPES.colours
    others = tuple(f"class {index}" for index in range(19))
    assert palette_of(DANetConfig(class_names=others)) == voc_colour_map(19)
    own = ((1, 2, 3), (4, 5, 6))
    assert palette_of(DANetConfig(num_classes=2, palette=own)) == own


def test_labels_have_room_for_all_classes() -> None:
    assert label_dtype(DANetConfig(num_classes=256)) == np.uint8
    assert label_dtype(DANetConfig(num_classes=257)) == np.uint16

"""Pictures of every kind and size: read, or named with the reason, and never of more pixels than stated."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danet_common.data.image import ImageError, read_image
from danet_common.data.image_reading import ROWS, VARIABLE, default_max_pixels
from shared_tests.suites.structure.test_structure import ROOT, sources

ORIENTATION = 0x0112
RAMP = np.arange(35, dtype=np.uint16).reshape(5, 7)
BOMB = 12600  # squared: 160 million pixels in 20 KB
LITTLE = 150 << 20  # bytes; Python and NumPy have 48 MiB, and 64 million pixels are 183 MiB


needs_status = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says what it held")


def colours(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_what_a_viewer_shows(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(colours()).save(tmp_path / "a.png", exif=exif)
    stored = colours()
    viewed = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored.transpose(1, 0, 2), 2),
        8: np.rot90(stored, 1),
    }[orientation]
    assert np.array_equal(read_image(tmp_path / "a.png"), viewed)


def test_bands_of_rows_meet(tmp_path: Path) -> None:
    pixels = colours(2 * ROWS + 3, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_twelve_bits_in_sixteen_are_refused(ending: str, tmp_path: Path) -> None:
    """They would be black, and the file does not say that it has 12."""
    Image.fromarray(RAMP * 117).save(tmp_path / f"a.{ending}")  # up to 3978
    with pytest.raises(ImageError, match=r"at most 3978.*12 bits"):
        read_image(tmp_path / f"a.{ending}")


def test_sixteen_bits_of_black_are_black(tmp_path: Path) -> None:
    Image.fromarray(RAMP * 0).save(tmp_path / "a.png")
    assert not read_image(tmp_path / "a.png").any()


def test_a_file_that_states_its_largest_value_is_read_by_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 7 5 4095\n" + (RAMP * 117).astype(">u2").tobytes())
    assert read_image(path)[..., 0].max() == 3978 * 255 // 4095
    path.write_bytes(b"P5 7 5 65535\n" + (RAMP * 10).astype(">u2").tobytes())
    assert read_image(path).max() == 1


def test_colours_of_twelve_bits_in_sixteen_are_refused(tmp_path: Path) -> None:
    """Pillow keeps the upper 8 of 16 bits, which are only the upper 4 of 12 bits."""
    for name, values in (("bright.png", RAMP * 1800), ("dark.png", RAMP * 117)):
        write_rgb16(tmp_path / name, np.repeat(values[..., None], 3, axis=2))
    assert read_image(tmp_path / "bright.png").max() == 34 * 1800 >> 8
    with pytest.raises(ImageError, match="12 bits"):
        read_image(tmp_path / "dark.png")


def write_rgb16(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits a channel, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_integers_beyond_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.int32) * 100_000).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="no known range"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["gif", "tif", "png", "webp"])
def test_further_frames_are_said(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"two.{ending}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / f"one.{ending}")
    output: list[str] = []
    assert read_image(tmp_path / f"two.{ending}", log=output.append)[0, 0].argmax() == 0
    read_image(tmp_path / f"one.{ending}", log=output.append)
    (message,) = output
    assert "more than one frame" in message


def test_no_format_that_starts_a_program_is_opened(tmp_path: Path) -> None:
    """Pillow gives EPS to Ghostscript, whatever the file's name."""
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(ImageError, match="not an image"):
        read_image(path)


def reading(path: Path) -> tuple[str, int]:
    """Read a picture in a process of its own. Returns its output and its peak memory in bytes."""
    script = (
        "import re, sys; from danet_common.data.image import read_image\n"
        "try: read_image(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"  # maxrss begins with the parent's
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    output, peak = done.stdout.splitlines()
    return output, int(peak) << 10


@needs_status
def test_a_picture_of_too_many_pixels_is_named_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (BOMB, BOMB)).save(path)
    assert path.stat().st_size < 30_000
    output, peak = reading(path)
    assert "12600x12600 pixels; the limit is 67108864 (--max-pixels sets another)" in output
    assert peak < LITTLE


def test_the_limit_is_a_parameter_and_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", max_pixels=35).shape == (5, 7, 3)
    with pytest.raises(ImageError, match="the limit is 34"):
        read_image(tmp_path / "a.png", max_pixels=34)
    monkeypatch.setenv(VARIABLE, "34")
    with pytest.raises(ImageError, match="the limit is 34"):
        read_image(tmp_path / "a.png")
    for wrong in ("0", "-1", "many", "9" * 30, ""):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(ImageError, match="takes a number of pixels"):
            default_max_pixels()


@needs_status
def test_a_truncated_large_jpeg_takes_little(tmp_path: Path) -> None:
    """Its header asks for 64 million pixels; a progressive one keeps all coefficients."""
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    Image.new("RGB", (8000, 8000)).save(whole, progressive=True)
    cut.write_bytes(whole.read_bytes()[:1024])
    output, peak = reading(cut)
    assert "cut.jpg: not a readable image" in output
    assert peak < LITTLE


def test_every_picture_is_opened_by_the_one_function_that_counts_pixels() -> None:
    opened = [
        str(path.relative_to(ROOT))
        for path in sources("danet_common", "danet_cli", "weights_convert", "danet_torch", "danet_tf", "danet_jax")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("Image.open", "Image.OPEN")
    ]
    assert set(opened) == {"danet_common/data/image_reading.py"}

"""Every command and every program that the documents show is run, in their order, in a folder of a user's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import weights_convert
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_tensors
from shared_tests.workers.backends import BACKENDS

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> list[tuple[str, str]]:
    """(language, text) of each block that can be run here; installing is not part of a test."""
    actual = BLOCK.findall((ROOT / document).read_text())
    return [(language, text) for language, text in actual if "pip install" not in text]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that the reader of the documents has: an official checkpoint and a photograph."""
    config = VARIANTS["danet_tiny"].replace(block="bottleneck", multi_grid=(1, 2, 4), layers=(1, 1, 1, 3))
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), tmp_path / "tiny.safetensors")
    weights_convert.convert(tmp_path / "tiny.safetensors", tmp_path / "model_best.pth.tar", to_schema="official")
    pixels = (synthetic_array("photo", (61, 83, 3)) * 127 + 128).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path


def test_readme(folder: Path) -> None:
    missing = {name for name in ("torch", "tf", "jax") if BACKENDS[name].missing}
    if missing and not os.environ.get("CI"):
        pytest.skip(f"the README uses every framework; missing here: {', '.join(sorted(missing))}")
    actual = blocks("README.md")
    assert len(actual) >= 6  # three frameworks, taps, convert, check
    shell = [text for language, text in actual if language == "sh"]
    programs = [text for language, text in actual if language == "python"]
    scripts = Path(sys.executable).parent  # where the `danet` command is
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for command in [["sh", "-ec", text] for text in shell] + [[sys.executable, "-c", text] for text in programs]:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, (command[-1], done.stdout[-2000:], done.stderr[-2000:])
    assert (folder / "masks" / "photo_mask.png").exists()

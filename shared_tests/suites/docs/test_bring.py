"""Every command of docs/bring-your-checkpoint.md is run, in its order, on small upstream files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common.extras import TRAINING
from shared_tests.suites.docs.test_readme import blocks
from shared_tests.suites.upstream_networks import checkpoint_of
from shared_tests.workers.backends import BACKENDS

DOCUMENT = "docs/bring-your-checkpoint.md"
# The names that the upstream projects give their files.
FILES = {
    "model_best.pth.tar": ("official", ""),
    "dran101.pth.tar": ("dranet", "today"),
    "iter_40000.pth": ("mmseg", "ResNetV1c"),
    "danet_resnet50_citys.pth": ("tramac", ""),
    "model.pdparams": ("paddleseg", ""),
    "danet_resnet50_citys.params": ("gluoncv", "without dropout"),
    "danet_resnetd50b_cityscapes.pth": ("imgclsmob", "named"),
    "resnet50.pth": ("torchvision", ""),
    "resnet50d.pth": ("timm", "d"),
}
BACK = {
    "back.pth.tar": "model_best.pth.tar",
    "back_dran.pth.tar": "dran101.pth.tar",
    "back_mmseg.pth": "iter_40000.pth",
    "back_tramac.pth": "danet_resnet50_citys.pth",
    "back.pdparams": "model.pdparams",
    "back.params": "danet_resnet50_citys.params",
    "back_imgclsmob.pth": "danet_resnetd50b_cityscapes.pth",
    "back_resnet50d.pth": "resnet50d.pth",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of every upstream project."""
    for file, (name, layout) in FILES.items():
        weights_convert.write(checkpoint_of(name, layout), tmp_path / file, name)
    return tmp_path


def run(command: list[str], folder: Path) -> None:
    scripts = Path(sys.executable).parent  # where the `danet` command is
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, (command[-1], done.stdout[-2000:], done.stderr[-2000:])


@pytest.mark.needs(*TRAINING)
def test_every_command(folder: Path) -> None:
    shell = [text for language, text in blocks(DOCUMENT) if language == "sh"]
    assert len(shell) == 8
    for text in shell:
        run(["sh", "-ec", text], folder)
    for back, original in BACK.items():
        first, again = weights_convert.read(folder / original), weights_convert.read(folder / back)
        assert again.source["schema"] == first.source["schema"]
        assert all(np.array_equal(again.tensors[name], array) for name, array in first.tensors.items())


def test_every_program(folder: Path) -> None:
    missing = {name for name in ("torch", "tf", "jax") if BACKENDS[name].missing}
    if missing and not os.environ.get("CI"):
        pytest.skip(f"the page uses every framework; missing here: {', '.join(sorted(missing))}")
    weights_convert.convert(folder / "model_best.pth.tar", folder / "danet.safetensors")
    programs = [text for language, text in blocks(DOCUMENT) if language == "python"]
    assert programs
    for text in programs:
        run([sys.executable, "-c", text], folder)

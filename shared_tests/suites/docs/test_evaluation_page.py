"""Every command and the program of docs/evaluation.md run as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from danet_common import VARIANTS, Checkpoint, write_checkpoint
from danet_common.data import open_dataset
from danet_common.extras import TRAINING
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.conftest import Start

PAGE = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# All commands in one process: what takes time is importing the framework.
RUN_ALL = """
import json, sys
from danet_cli.main import run
for arguments in json.loads(sys.argv[1]):
    assert run(arguments) == 0, arguments
exec(compile(sys.argv[2], "page", "exec"))
"""


def commands(backend: str) -> list[list[str]]:
    """The page's `danet` lines for one backend, without `danet`."""
    lines = [line for language, text in BLOCK.findall(PAGE) if language == "sh" for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if f"--backend {backend}" in line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that the page's reader has: a checkpoint for `scenes`, and photographs."""
    scenes = open_dataset("scenes", "val")
    config = VARIANTS["danet_tiny"].replace(
        num_classes=scenes.num_classes, class_names=scenes.names, palette=scenes.palette
    )
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), tmp_path / "danet.safetensors")
    (tmp_path / "photos" / "town").mkdir(parents=True)
    for number, path in enumerate(("photo.jpg", "photos/a.png", "photos/town/a.jpg")):
        Image.fromarray(scenes.item(number).image).save(tmp_path / path)
    return tmp_path


@pytest.mark.parametrize(
    "backend", ["torch", pytest.param("tf", marks=pytest.mark.slow), pytest.param("jax", marks=pytest.mark.slow)]
)
@pytest.mark.needs(*TRAINING)
def test_page(backend: str, folder: Path, start: Start) -> None:
    start(backend)
    actual = commands(backend)
    assert len(actual) >= (6 if backend == "torch" else 1)
    program = "\n".join(text for language, text in BLOCK.findall(PAGE) if language == "python")
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(actual), program if backend == "torch" else ""],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    if backend != "torch":
        assert 0 < json.loads((folder / f"{backend}.json").read_text())["mean_iou"] < 1
        return
    assert (folder / "figures" / "confusion.png").is_file()
    assert (folder / "masks" / "town" / "a_side_by_side.png").is_file()
    assert 0 < float(done.stdout.splitlines()[-1]) < 1


def test_every_named_protocol_is_in_the_tables() -> None:
    from danet_common.evaluation import PROTOCOLS

    assert [name for name in PROTOCOLS if f"\n| `{name}` |" not in PAGE] == []

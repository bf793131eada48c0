"""The ways in besides the three packages and the command: `import danet`, `python -m danet` and torch.hub."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import danet
import danet_common
from shared_tests.suites.cli.test_cli import TINY, write_tiny
from shared_tests.suites.conftest import NETWORKS
from shared_tests.workers.backends import BACKENDS

ROOT = Path(__file__).parents[3]


def test_one_version() -> None:
    assert danet.__version__ == danet_common.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [danet.__version__]
    done = subprocess.run([sys.executable, "-m", "danet", "--version"], capture_output=True, text=True)
    assert done.stdout.split() == ["danet", danet.__version__]


@pytest.mark.parametrize("backend", NETWORKS)
def test_load_returns_the_network_of_the_framework(backend: str, tmp_path: Path) -> None:
    if BACKENDS[backend].missing:
        pytest.skip(f"{backend} is not installed")
    tiny = write_tiny(tmp_path / "tiny.safetensors")
    danet.convert(tiny, tmp_path / "tiny.npz")
    argument = "" if backend == NETWORKS[0] else f", {backend!r}"  # the first is the default
    program = (
        "import sys, danet\n"
        f"model = danet.load(sys.argv[1]{argument})\n"
        "print(type(model).__module__, model.config.num_classes)\n"
        f"import danet_{backend}; assert danet_{backend}.__version__ == danet.__version__\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "tiny.npz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == [f"danet_{backend}.model", str(TINY.num_classes)], done.stderr[-500:]


def test_torch_hub_reads_the_clone(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.hub.load(str(ROOT), "danet", "danet_tiny", num_classes=7, source="local")
    assert model.config.num_classes == 7
    tiny = write_tiny(tmp_path / "tiny.safetensors")
    loaded = torch.hub.load(str(ROOT), "load", str(tiny), source="local")
    weights = danet_common.read_checkpoint(tiny).tensors["head.fused_classifier.weight"]
    np.testing.assert_array_equal(loaded.state_dict()["head.fused_classifier.weight"].numpy(), weights)

"""The programs of docs/performance.md run as they stand, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.docs.test_readme import ROOT, blocks
from shared_tests.workers.backends import BACKENDS


def test_the_page_runs(tmp_path: Path) -> None:
    if BACKENDS["torch"].missing:
        pytest.skip("the page uses PyTorch")
    config = VARIANTS["danet_tiny"]
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), tmp_path / "danet.safetensors")
    programs = blocks("docs/performance.md")
    assert [language for language, _ in programs] == ["python", "python"]
    text = "\n".join(program for _, program in programs)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{text}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]

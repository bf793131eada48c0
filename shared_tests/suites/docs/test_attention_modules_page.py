"""Every command and program of docs/attention-modules.md runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.suites.docs.test_readme import ROOT, blocks
from shared_tests.workers.backends import BACKENDS


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path) -> None:
    if BACKENDS["torch"].missing:
        pytest.skip("the page uses PyTorch")
    scripts = Path(sys.executable).parent  # where the `danet` command is
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    actual = blocks("docs/attention-modules.md")
    assert [language for language, _ in actual] == ["sh", "python", "python", "sh"]
    for language, text in actual:
        command = ["sh", "-ec", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (text, done.stdout[-2000:], done.stderr[-2000:])

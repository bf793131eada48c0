"""Every block of docs/devices.md runs as it stands."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shared_tests.suites.devices.running import run_program
from shared_tests.suites.environment import cpu_devices

PAGE = Path(__file__).parents[3] / "docs" / "devices.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PYTHONPATH": str(PAGE.parents[1]),
        "KERAS_BACKEND": "tensorflow",
        "XLA_FLAGS": cpu_devices(8),
    }
    environment |= {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # torchrun's
    monkeypatch.chdir(tmp_path)
    actual = run_program("page", PAGE, needs=("torch", "tensorflow", "jax", "flax"), environment=environment)
    assert actual == {"blocks": 8, "logits": [1, 65, 97, 7], "platforms": ["cpu", "cuda", "tpu"]}

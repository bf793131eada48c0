"""The Flax network lowers for TPU and GPU from a machine that has neither, and the program computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danet_common import Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.devices.running import CONFIG, run_program


@pytest.fixture(scope="module")
def actual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of lowering the tiny network and danet_r50."""
    path: Path = tmp_path_factory.mktemp("lowering") / "model.safetensors"
    write_checkpoint(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), path)
    return run_program("lowering", path, needs=("jax", "flax", "flatbuffers"), environment={"JAX_ENABLE_X64": "0"})


def test_lowers_for_every_platform(actual: dict[str, Any]) -> None:
    assert len(actual["lowered"]) == 6
    for program in actual["lowered"]:
        assert program["got"] == program["asked"]
        assert not program["float64"]  # a TPU would emulate it, slowly


def test_computes_as_the_network(actual: dict[str, Any]) -> None:
    """One program for every batch size."""
    batch, first = actual["differences"]
    assert batch == 0  # the same compiler compiles the same operations
    assert first < 1e-4  # of logits of order one: for one image it may sum in another order

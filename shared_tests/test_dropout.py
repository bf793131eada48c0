"""Dropout: what is dropped, how the rest is scaled, and that inference drops nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danet_common import Checkpoint, write_checkpoint
from shared_tests.backends import Worker
from shared_tests.golden_cases import TINY
from shared_tests.job import Job
from shared_tests.rule import rule_input, rule_tensors

RATE = 0.25
CHANNELS = TINY.inner_channels


def dropped(worker: Worker, folder: Path, kind: str, training: bool) -> tuple[np.ndarray, np.ndarray]:
    """The summed features before and after dropout: the classifier here is the identity, so logits are features."""
    config = TINY.replace(num_classes=CHANNELS, dropout=kind, dropout_rate=RATE, auxiliary="none")
    tensors = rule_tensors(config)
    tensors["head.fused_classifier.weight"] = np.eye(CHANNELS, dtype=np.float32)[:, :, None, None]
    tensors["head.fused_classifier.bias"] = np.zeros(CHANNELS, np.float32)
    path = folder / "identity.safetensors"
    write_checkpoint(Checkpoint(config, tensors), path)
    x = rule_input(config, 8, 33, 47)
    stages = ("position_out", "channel_out", "fused_logits")
    mode = "jit" if worker.backend.name == "jax" else "eager"
    found = worker.run(Job(checkpoint=str(path), x=x, mode=mode, training=training, stages=stages)).stages
    return found["position_out"] + found["channel_out"], found["fused_logits"]


@pytest.mark.parametrize("kind", ["channel", "element"])
def test_training(worker: Worker, tmp_path: Path, kind: str) -> None:
    before, after = dropped(worker, tmp_path, kind, training=True)
    kept = np.isclose(after, before / (1 - RATE), rtol=1e-5, atol=0)
    positive = before > 0  # a zero feature tells nothing
    assert np.all(kept | (after == 0))
    share = 1 - kept[positive].mean()
    assert abs(share - RATE) < 0.1  # 8 x 24 channels: a deviation of 0.03
    whole = [np.unique(kept[n, c][positive[n, c]]).size == 1 for n in range(8) for c in range(CHANNELS)]
    assert all(whole) == (kind == "channel")


def test_inference(worker: Worker, tmp_path: Path) -> None:
    before, after = dropped(worker, tmp_path, "channel", training=False)
    np.testing.assert_allclose(after, before, rtol=1e-5)

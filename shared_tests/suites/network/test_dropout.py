"""Dropout: what is dropped, how the rest is scaled, and that inference drops nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danet_common import Checkpoint, write_checkpoint
from danet_common.numerics.dropout import dropout_masks
from shared_tests import reference
from shared_tests.fixtures.cases import TINY
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors
from shared_tests.workers.backends import Worker
from shared_tests.workers.protocol import Request

RATE = 0.25
CHANNELS = TINY.inner_channels


def dropped(worker: Worker, folder: Path, kind: str, training: bool) -> tuple[np.ndarray, np.ndarray]:
    """The summed features before and after dropout: the classifier here is the identity, so logits are features."""
    config = TINY.replace(num_classes=CHANNELS, dropout=kind, dropout_rate=RATE, auxiliary="none")
    tensors = synthetic_tensors(config)
    tensors["head.fused_classifier.weight"] = np.eye(CHANNELS, dtype=np.float32)[:, :, None, None]
    tensors["head.fused_classifier.bias"] = np.zeros(CHANNELS, np.float32)
    path = folder / "identity.safetensors"
    write_checkpoint(Checkpoint(config, tensors), path)
    x = synthetic_input(config, 8, 33, 47)
    taps = ("position_out", "channel_out", "fused_logits")
    mode = "jit" if worker.backend.name == "jax" else "eager"
    actual = worker.run(Request(checkpoint=str(path), x=x, mode=mode, training=training, taps=taps)).taps
    return actual["position_out"] + actual["channel_out"], actual["fused_logits"]


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


@pytest.mark.parametrize("kind", ["channel", "element"])
def test_masks_fit_the_features(kind: str) -> None:
    """Each output's mask is as large as the features before its classifier, at every output stride."""
    for stride, auxiliary in [(8, "fcn"), (16, "linear"), (32, "fcn"), (32, "none")]:
        config = TINY.replace(output_stride=stride, auxiliary=auxiliary, dropout=kind, auxiliary_channels=10)
        taps = ["position_out", "channel_out", "layer3", "layer4"]
        features = reference.forward(
            config, synthetic_tensors(config), synthetic_input(config, 1, 33, 47), taps=taps
        ).taps
        before = {"fused": "position_out", "position": "position_out", "channel": "channel_out"}
        before["aux"] = "layer3" if auxiliary == "fcn" else "layer4"
        for output, mask in dropout_masks(config, 0, 0, range(2), 33, 47).items():
            channels = 10 if output == "aux" and auxiliary == "fcn" else features[before[output]].shape[1]
            size = features[before[output]].shape[2:] if kind == "element" else ()
            assert mask.shape == (2, channels, *size), (stride, output)


def test_masks_depend_on_row_step_output_and_seed_alone() -> None:
    whole = dropout_masks(TINY, 3, 5, range(6), 33, 47)
    for rows in (range(2), range(2, 6)):
        part = dropout_masks(TINY, 3, 5, rows, 65, 33)
        assert all(np.array_equal(part[output], mask[rows.start : rows.stop]) for output, mask in whole.items())
    others = [dropout_masks(TINY, 3, 6, range(6), 33, 47), dropout_masks(TINY, 4, 5, range(6), 33, 47)]
    every = [mask.tobytes() for masks in (whole, *others) for mask in masks.values()]
    assert len(set(every)) == len(every)
    assert not dropout_masks(TINY.replace(dropout_rate=0.0), 3, 5, range(6), 33, 47)


def test_masks_keep_their_share() -> None:
    masks = dropout_masks(TINY.replace(dropout_rate=RATE), 0, 0, range(200), 33, 47)
    assert all(abs(mask.mean() - (1 - RATE)) < 0.03 for mask in masks.values())  # 4800: a deviation of 0.006

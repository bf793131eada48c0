"""Eight scenes learned by heart in each framework, and batches at the edges of what data may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danet_common import VARIANTS, initial_tensors
from danet_common.config.recipe import TrainConfig
from danet_common.data.image import normalise
from danet_common.data.scenes import Scenes
from danet_common.evaluation.metrics import confusion_matrix, scores
from danet_common.training.training_checkpoint import TrainingCheckpoint, initial_state, read_training, write_training
from shared_tests.suites.network.test_precision import QUICK_FIRST
from shared_tests.workers.backends import Worker
from shared_tests.workers.protocol import Groups, Request

# Both attentions, but only the fused output: two losses less at full size are a quarter of a step.
CONFIG = VARIANTS["danet_tiny"].replace(num_classes=7, dropout_rate=0.0, branch_classifiers=False)
LEARNED = 0.95  # mean IoU on the eight scenes themselves
HEIGHT, WIDTH, STEPS = 88, 112, 90  # the smallest pictures and fewest steps that leave a margin: torch has 0.96

# Short memories, as there are so few steps.
OVERFIT = TrainConfig(
    steps=STEPS,
    batch_size=8,
    optimizer="adamw",
    learning_rate=0.01,
    head_lr_multiplier=1.0,
    poly_power=0.6,
    adam_beta1=0.8,
    adam_beta2=0.98,
    weight_decay=0.0,
)


def train(worker: Worker, recipe: TrainConfig, batch: Groups, steps: int, folder: Path, every: int) -> Groups:
    """Losses by name; the runs after every so many steps are in the folder."""
    first = folder / "0.safetensors"
    write_training(initial_state(CONFIG, recipe, initial_tensors(CONFIG)), first)
    fields = {"start": str(first), "steps": steps, "folder": str(folder), "dtype": "float32", "every": every}
    return worker.call_function("train", fields, batch)


@pytest.mark.parametrize("worker", QUICK_FIRST, indirect=True)
def test_eight_scenes_are_learned_by_heart(worker: Worker, tmp_path: Path) -> None:
    dataset = Scenes(8, "train", HEIGHT, WIDTH)
    samples = [dataset.item(index) for index in range(len(dataset))]
    image = np.stack([normalise(sample.image, CONFIG) for sample in samples])
    labels = np.stack([sample.labels for sample in samples]).astype(np.int32)
    train(worker, OVERFIT, {"batch": {"image": image, "labels": labels}}, STEPS, tmp_path, every=STEPS)
    learned = tmp_path / f"{STEPS}.safetensors"
    response = worker.run(Request(checkpoint=str(learned), x=image.transpose(0, 3, 1, 2), dtype="float32"))
    prediction = response.outputs["fused"].argmax(1)
    assert scores(confusion_matrix(labels, prediction, CONFIG.num_classes)).mean_iou > LEARNED


@pytest.mark.parametrize("worker", ["torch", "tf", pytest.param("jax", marks=pytest.mark.slow)], indirect=True)
def test_edges_of_data(worker: Worker, tmp_path: Path) -> None:
    """Single pictures: all void, one class in one pixel of another, labels that no class has, one pixel of all."""
    labels = np.full((4, 24, 32), 255, np.int32)
    labels[1] = 2
    labels[1, 3, 5] = 6
    labels[2, :5], labels[2, 9:] = 254, 1
    labels[3, 0, 0] = 4
    image = np.random.default_rng(0).standard_normal((*labels.shape, 3)).astype(np.float32)
    recipe = TrainConfig(steps=9, batch_size=1, weight_decay=0.0, clip_norm=1.0)
    batch = {"batch": {"image": image, "labels": labels}}
    losses = train(worker, recipe, batch, len(labels), tmp_path, every=1)["losses"]
    assert all(np.isfinite(values).all() for values in losses.values())
    assert all(values[0] == 0 for values in losses.values())
    assert (losses["loss"][1:] > 0).all()
    runs = [read_training(tmp_path / f"{step}.safetensors") for step in range(len(labels) + 1)]
    assert not any(array.any() for array in runs[1].slots.values())  # the momenta: nothing of void is learned
    assert unmoved(runs[0], runs[1]) == 1.0
    assert unmoved(runs[1], runs[2]) < 0.5
    for run in runs:
        assert all(np.isfinite(array).all() for array in (*run.tensors.values(), *run.slots.values()))


def unmoved(before: TrainingCheckpoint, after: TrainingCheckpoint) -> float:
    """Return the share of the learned tensors that are equal bit for bit."""
    names = [name.removeprefix("momentum.") for name in after.slots]
    return float(np.mean([np.array_equal(before.tensors[name], after.tensors[name]) for name in names]))

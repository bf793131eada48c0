"""Evaluates with whichever framework the process holds: `Worker.call_function` calls it."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from danet_common.data import open_dataset
from danet_common.evaluation import PredictLogits, Protocol, evaluate, predict_labels
from shared_tests.workers.protocol import Groups


def confusion(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The confusion matrix of `weights` on the split `val` of `data`, for each of the `protocols` by name."""
    config, infer = load(fields)
    dataset = open_dataset(fields["data"], "val")
    actual = {
        name: evaluate(infer, dataset, protocol_of(protocol), config) for name, protocol in fields["protocols"].items()
    }
    return {"matrix": actual}


def labels(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Predict the images in `arrays` with `weights`, for each of the `protocols` by name."""
    config, infer = load(fields)
    return {
        name: {image: predict_labels(infer, pixels, protocol_of(protocol), config) for image, pixels in images.items()}
        for images in [arrays["images"]]
        for name, protocol in fields["protocols"].items()
    }


def load(fields: dict[str, Any]) -> tuple[Any, PredictLogits]:
    """Config and logits of the network in `weights`, by the package of `backend`, in `dtype`.

    It comes out of training, as in the middle of a run; Keras has no such mode.
    """
    module = importlib.import_module(f"danet_{fields['backend']}")
    model = module.load(fields["weights"], dtype=fields.get("dtype", "float32"))
    if fields["backend"] != "tf":
        model.train()
    return model.config, partial(module.predict_logits, model)


def protocol_of(fields: dict[str, Any]) -> Protocol:
    """The inverse of `Protocol.to_dict`."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Protocol(**values)

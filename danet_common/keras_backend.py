"""Keras's backend, before Keras is imported: danet_tf does not run on all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from danet_common.files.regular_file import SETTINGS, read_regular

SUPPORTED = ("tensorflow", "jax", "torch")


def require_keras_backend() -> None:
    """Raise ImportError unless `danet_tf` runs on the backend that Keras has, or will have when it is imported."""
    chosen = keras_backend()
    if chosen not in SUPPORTED:
        known = " or ".join(f"KERAS_BACKEND={name}" for name in SUPPORTED)
        raise ImportError(f"danet_tf does not run on Keras's backend {chosen!r}. Set {known} before Python starts.")


def keras_backend() -> str:
    """Return Keras's backend: KERAS_BACKEND, else that of `keras.json` in its folder, else TensorFlow."""
    keras = sys.modules.get("keras")
    if keras is not None:
        return keras.backend.backend()
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        return str(json.loads(read_regular(folder / "keras.json", SETTINGS))["backend"])
    except (OSError, ValueError, KeyError, TypeError):  # as Keras, which then takes its default
        return "tensorflow"

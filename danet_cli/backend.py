"""The three networks by name, imported when a command needs one."""

from __future__ import annotations

import importlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from danet_cli.console import Unable

if TYPE_CHECKING:
    from types import ModuleType

    from danet_common import Checkpoint
    from danet_common.evaluation import Infer

BackendName = Literal["torch", "tf", "jax"]


def import_backend(backend: BackendName) -> ModuleType:
    """The package of a backend, with TensorFlow's greetings turned off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return importlib.import_module(f"danet_{backend}")
    except ModuleNotFoundError as error:
        raise Unable(f"backend {backend} needs {error.name}, not installed: pip install 'danet[{backend}]'") from None


def inferring(module: ModuleType, checkpoint: Checkpoint) -> tuple[Any, Infer]:
    """The network of a checkpoint, and what gives its logits."""
    model = module.from_checkpoint(checkpoint)
    return model, partial(module.infer, model)

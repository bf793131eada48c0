"""Import the package of a framework when a command needs it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from danet_cli.allocator import keep_freed_memory
from danet_cli.console import CommandError, describe_error

if TYPE_CHECKING:
    from types import ModuleType

    from danet_common import Checkpoint
    from danet_common.evaluation import PredictLogits

BackendName = Literal["torch", "tf", "jax"]


def default_backend() -> BackendName:
    """Return the first framework that is installed. Raises ModuleNotFoundError if there is none."""
    return installed_backends()[0]


def installed_backends() -> list[BackendName]:
    """Return the frameworks that are installed, of torch, tf and jax. Raises ModuleNotFoundError if there is none."""
    from danet_common.extras import FRAMEWORKS, missing_packages  # imports NumPy, which `danet --help` does not need

    installed = [name for name in get_args(BackendName) if not missing_packages(FRAMEWORKS[name])]
    if not installed:
        raise ModuleNotFoundError("no framework is installed: pip install 'danet[torch]', 'danet[tf]' or 'danet[jax]'")
    return installed


def import_backend(backend: BackendName) -> ModuleType:
    """Return `danet_torch`, `danet_tf` or `danet_jax`. Raises CommandError, naming what is not installed."""
    from danet_common.imports import without_garbage_collection  # imports NumPy, which `danet --help` does not need

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with without_garbage_collection(), silence() if backend == "tf" else nullcontext():
            return importlib.import_module(f"danet_{backend}")
    except ImportError as error:
        raise CommandError(describe_error(error)) from None


@contextmanager
def silence() -> Iterator[None]:
    """Drop standard error: TensorFlow writes some messages before it reads its log level."""
    saved = os.dup(2)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def build(package: ModuleType, checkpoint: Checkpoint, **options: str) -> Any:
    """Return the network of a checkpoint, on a GPU if there is one; torch alone must be asked for that."""
    model = package.from_checkpoint(checkpoint, **options)
    if package.__name__ == "danet_torch":
        import torch

        if torch.cuda.is_available():
            model.cuda()
    return model


def inferring(package: ModuleType, checkpoint: Checkpoint) -> tuple[Any, PredictLogits]:
    """Return the network with the fastest layers for inference, and the function that computes its logits."""
    if package.__name__ == "danet_torch":  # XLA and TensorFlow plan their memory themselves
        keep_freed_memory()
    model = build(package, checkpoint, layers="auto")
    return model, partial(package.predict_logits, model)

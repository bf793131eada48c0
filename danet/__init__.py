"""The short way in: `danet.load`, `danet.convert`, `danet.__version__`; `python -m danet` is the command."""

from __future__ import annotations

import importlib
import os
from typing import Any, Literal

from danet_cli.backend import default_backend
from danet_common import __version__
from weights_convert import convert

__all__ = ["__version__", "convert", "load"]


def load(
    path: str | os.PathLike[str], backend: Literal["torch", "tf", "jax"] | None = None, dtype: str = "float32"
) -> Any:
    """Load the network of a file or folder as `danet_torch`, `danet_tf` or `danet_jax` does, in inference mode.

    `backend` is by default the first framework, of torch, tf and jax, that is installed.
    Raises CheckpointError for an incomplete or unknown file, and ModuleNotFoundError where the framework is missing.
    """
    return importlib.import_module(f"danet_{backend or default_backend()}").load(path, dtype)

"""The rows of a comparison: context modules as `--context` names them, and the paper's ablation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from danet_common import DANetConfig
from danet_common.config import ContextKind
from weights_convert.settings import parse_setting

Context = tuple[ContextKind, ...]


def chosen_contexts(texts: Sequence[str]) -> list[Context]:
    """Return `["none", "position,channel"]` as values of the config's `context`, without repeats.

    Returns `ablation()` for no texts. Raises CheckpointError, listing the kinds, for an unknown one.
    """
    parsed: list[Any] = [parse_setting("context", text) for text in texts]
    return list(dict.fromkeys(parsed)) or ablation()


def ablation() -> list[Context]:
    """Return: no context module, each of DANet's two alone, both, and each other kind alone."""
    kinds, both = get_args(ContextKind), DANetConfig().context
    return [(), *((kind,) for kind in both), both, *((kind,) for kind in kinds if kind not in both)]


def name_of(context: Context) -> str:
    """Name of a row in tables and folders: `position+channel`."""
    return "+".join(context) or "none"

"""Configs of a network and of its training, and the tables that follow from them."""

from danet_common.config.network import ContextKind, DANetConfig

__all__ = ["ContextKind", "DANetConfig"]

"""The configs: of a network, of its training, and what follows from them."""

from danet_common.config.network import (
    EXPANSION,
    FROM_THE_DATA,
    HINTS,
    LONGEST_CLASS_NAME,
    LONGEST_GRID,
    MAXIMUM_CLASSES,
    Block,
    ContextKind,
    DANetConfig,
    NonLocalForm,
    UpsampleGrid,
    check_form,
)

__all__ = [
    "EXPANSION",
    "FROM_THE_DATA",
    "HINTS",
    "LONGEST_CLASS_NAME",
    "LONGEST_GRID",
    "MAXIMUM_CLASSES",
    "Block",
    "ContextKind",
    "DANetConfig",
    "NonLocalForm",
    "UpsampleGrid",
    "check_form",
]

"""The schemas: one file of facts for each owner, and one that says what a schema is."""

from weights_convert.schemas.canonical import CANONICAL
from weights_convert.schemas.official import OFFICIAL
from weights_convert.schemas.schema import Schema
from weights_convert.schemas.torchvision import TORCHVISION
from weights_convert.schemas.tramac import TRAMAC

SCHEMAS: tuple[Schema, ...] = (CANONICAL, OFFICIAL, TRAMAC, TORCHVISION)  # in the order in which they are tried

__all__ = ["SCHEMAS", "Schema"]

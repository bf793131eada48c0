"""Schemas of upstream projects, one file of facts each."""

from danet_common import CheckpointError
from weights_convert.mapping.schema import Schema
from weights_convert.schemas.canonical import CANONICAL
from weights_convert.schemas.dranet import DRANET
from weights_convert.schemas.gluoncv import GLUONCV
from weights_convert.schemas.imgclsmob import IMGCLSMOB
from weights_convert.schemas.mmseg import MMSEG
from weights_convert.schemas.mmseg_backbone import MMSEG_BACKBONE
from weights_convert.schemas.official import OFFICIAL
from weights_convert.schemas.paddle_backbone import PADDLE_BACKBONE
from weights_convert.schemas.paddleseg import PADDLESEG
from weights_convert.schemas.timm import TIMM
from weights_convert.schemas.torchvision import TORCHVISION
from weights_convert.schemas.tramac import TRAMAC

# In order of preference: of several that fit equally well, the first is taken.
SCHEMAS: tuple[Schema, ...] = (
    CANONICAL,
    OFFICIAL,
    TRAMAC,
    TORCHVISION,
    *MMSEG,
    PADDLESEG,
    *DRANET,
    *GLUONCV,
    *IMGCLSMOB,
    *TIMM,
    *MMSEG_BACKBONE,
    PADDLE_BACKBONE,
)
SCHEMA_NAMES: tuple[str, ...] = tuple(dict.fromkeys(schema.name for schema in SCHEMAS))


def layouts_of(name: str) -> tuple[Schema, ...]:
    """Return the schemas of this name, one for each layout. Raise CheckpointError for an unknown name."""
    layouts = tuple(schema for schema in SCHEMAS if schema.name == name)
    if not layouts:
        raise CheckpointError(f"unknown schema {name!r}; known: {', '.join(SCHEMA_NAMES)}")
    return layouts

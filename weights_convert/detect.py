"""Detect the schema of a file from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from danet_common import CheckpointError
from danet_common.text import pluralise
from weights_convert.contents import Described
from weights_convert.mapping.match import Match, match
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMA_NAMES, SCHEMAS
from weights_convert.schemas.refusals import refusal

FIRST_KEYS = 3  # names in the error for a file of unknown names only
FIRST_ERRORS = 5  # errors of the nearest schema in the error text


def find_match(
    tensors: Mapping[str, Described], only: Sequence[Schema] | None = None, metadata: Mapping[str, Any] | None = None
) -> Match:
    """Return the best match. A match of `only` these schemas may have errors; any other fits exactly.

    Raise CheckpointError if no schema fits; the error lists the first errors of the nearest one. Raise it too for
    a known network that cannot be converted.
    """
    if not tensors:
        raise CheckpointError("holds no tensors")
    matches = [match(schema, tensors, metadata) for schema in only or SCHEMAS]
    nearest = min(matches, key=lambda each: (bool(each.errors), -len(each.keys), len(each.errors)))
    reason = refusal(list(tensors)) if nearest.errors else None
    if reason is not None:
        raise CheckpointError(f"cannot be converted: {reason}")
    if not nearest.errors or only is not None:
        return nearest
    tried = f"the tensors fit no known schema (tried {', '.join(SCHEMA_NAMES)}); "
    if not nearest.keys:
        first = ", ".join([*tensors][:FIRST_KEYS])
        raise CheckpointError(f"{tried}not one of their {len(tensors)} names is known: {first}, ...")
    count = pluralise(len(nearest.errors), "error")
    raise CheckpointError(f"{tried}{nearest.schema.name} is nearest, with {count}:{listed(nearest.errors)}")


def listed(errors: Sequence[str]) -> str:
    """Return the first errors, a line each, and the number of the others."""
    more = len(errors) - FIRST_ERRORS
    return "".join(f"\n  {line}" for line in [*errors[:FIRST_ERRORS], *[f"and {more} more"] * (more > 0)])

"""Read the Python text of a configuration as data: `name = value` lines of literals and `dict(...)` calls.

The text is parsed, never run. The parser skips every other kind of value.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

MAXIMUM_LENGTH = 1 << 20  # characters; MMSegmentation's configurations have about 10,000
MAXIMUM_DEPTH = 40


class _Unknown(Exception):
    """Raised for a value that is not a literal."""


def read_config_text(text: Any) -> dict[str, Any]:
    """Return name -> value of each top-level assignment; {} if the text is not such a configuration."""
    if type(text) is not str or len(text) > MAXIMUM_LENGTH:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in its strings
            lines = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    values: dict[str, Any] = {}
    for line in lines:
        if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
            try:
                values[line.targets[0].id] = _value(line.value, 0)
            except _Unknown:
                continue
    return values


def _value(node: ast.expr, depth: int) -> Any:
    if depth > MAXIMUM_DEPTH:
        raise _Unknown
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(item, depth + 1) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return _entries([(key.value if isinstance(key, ast.Constant) else None, value) for key, value in pairs], depth)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return _entries([(keyword.arg, keyword.value) for keyword in node.keywords], depth)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand, depth + 1)
        if isinstance(number, int | float):
            return -number
    raise _Unknown


def _entries(pairs: list[tuple[Any, ast.expr]], depth: int) -> dict[str, Any]:
    """Return the entries that are literals, by name."""
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if type(key) is str:
            try:
                entries[key] = _value(value, depth + 1)
            except _Unknown:
                continue
    return entries


def write_config_text(values: dict[str, Any]) -> str:
    """Return the text of a configuration with dictionaries as `dict(...)`; the inverse of `read_config_text`."""
    return "".join(f"{name} = {_text(value)}\n" for name, value in values.items())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"dict({', '.join(f'{name}={_text(item)}' for name, item in value.items())})"
    return repr(value)

"""Plain English: docstrings open with a verb or a named noun, sentences are short, and numbers are digits."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NETWORKS = ("danet_torch", "danet_tf", "danet_jax")
PACKAGES = ("danet", "danet_common", *NETWORKS, "weights_convert", "danet_cli", "shared_tests", "benchmarks")
FORBIDDEN_OPENING = re.compile(r"(Of|What|Whether|Those|As|That|For|How|Where|Which)\b")
FRACTION = re.compile(
    r"\b(a|an|one|two|three|four|five|six|seven|eight|nine) (third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|"
    r"twentieth|hundredth)s?\b|\b(thirds|quarters|fifths|tenths|twentieths|hundredths)\b",
    re.IGNORECASE,
)
LONGEST_SENTENCE = 25  # words


def sources(*packages: str) -> list[Path]:
    """Return the Python files of packages."""
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def sentences(docstring: str) -> Iterator[str]:
    """Yield the sentences of a docstring, without tables of arguments, lists, indented lines and equations."""
    for paragraph in docstring.split("\n\n"):
        if not re.search(r"^ *[\w, ]+\S {2,}\S|^- |^  |^[\w, ]+ = ", paragraph, re.MULTILINE):
            yield from re.split(r"(?<=[.:;?!])\s+", paragraph)


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_are_plain(path: Path) -> None:
    for docstring in docstrings(path):
        assert not FORBIDDEN_OPENING.match(docstring), docstring
        assert not FRACTION.search(docstring), docstring
        long = [text for text in sentences(docstring) if len(text.split()) > LONGEST_SENTENCE]
        assert not long, f"more than {LONGEST_SENTENCE} words: {long}"

"""The pages: README stays short, every link leads to a file, and the glossary names what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "RESULTS.md"],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, spelled as GitHub spells them."""
    headings = HEADING.findall(FENCE.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith(("https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_glossary_names_what_the_code_has() -> None:
    rows = ROW.findall((ROOT / "docs" / "glossary.md").read_text())
    terms = [term for term, _, where in rows if where.strip() not in ("where", "---")]
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) > 25
    for term, _, where in rows[2:]:
        *names, file = CODE.findall(where)
        assert (ROOT / file).exists(), (term, file)
        text = (ROOT / file).read_text() if names else ""
        for name in names:
            assert re.search(rf"\b{re.escape(name)}\b", text), (term, name)

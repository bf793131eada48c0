"""The pages: a short README, links that lead to files, numbers as numbers, and a glossary of what the code has."""

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
MODULE = re.compile(r"\b(?:danet_\w+|weights_convert|shared_tests)(?:\.\w+)+(?!/)")
FILE_ENDINGS = (".params", ".pth")
FRACTION = re.compile(
    r"\b(a|an|one|two|three|four|five|six|seven|eight|nine) (half|third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|"
    r"twentieth|hundredth)s?\b|\bhalf (the|of|a|as)\b|\b(halves|thirds|quarters|fifths|tenths|twentieths)\b",
    re.IGNORECASE,
)


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


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_fractions_are_numbers(page: Path) -> None:
    text = " ".join(FENCE.sub("", page.read_text()).split())
    assert [match.group() for match in FRACTION.finditer(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_modules_exist(page: Path) -> None:
    for name in set(MODULE.findall(page.read_text())):
        package, *names = name.split(".")
        path = ROOT / package
        while names and ((path / names[0]).is_dir() or (path / f"{names[0]}.py").is_file()):
            path /= names.pop(0)
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        exists = not names or re.search(rf"\b{names[0]}\b", file.read_text() if file.is_file() else "")
        assert exists or name.endswith(FILE_ENDINGS), name


def test_the_glossary_names_what_the_code_has() -> None:
    rows = ROW.findall((ROOT / "docs" / "glossary.md").read_text())[1:]  # the first is the head of the table
    terms = [term for term, _, _ in rows]
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) > 25
    for term, _, where in rows:
        *names, file = CODE.findall(where)
        assert (ROOT / file).exists(), (term, file)
        text = (ROOT / file).read_text() if names else ""
        for name in names:
            assert re.search(rf"\b{re.escape(name)}\b", text), (term, name)

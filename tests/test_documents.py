"""What the documents name must be there: tests, and pages with their headings."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
TEST = re.compile(r"\btests/[\w/]+\.py(?:::\w+)*")
LINK = re.compile(r"\]\(([^)\s:]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@cache
def names(path: Path) -> frozenset[str]:
    """The functions of a file, its classes, and their functions as ``Class::function``."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return frozenset(found)


@cache
def anchors(path: Path) -> frozenset[str]:
    """What the headings of a page can be linked by."""
    headings = HEADING.findall(path.read_text("utf-8"))
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_test_that_is_named_exists(document: Path) -> None:
    for named in TEST.findall(document.read_text("utf-8")):
        file, _, test = named.partition("::")
        assert (ROOT / file).is_file(), named
        assert not test or test in names(ROOT / file), named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text("utf-8")):
        place, _, anchor = link.partition("#")
        target = document.parent / place if place else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_what_is_claimed_of_security_is_shown() -> None:
    """Each row of an attack names a test, unless it is a limit."""
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and line.count("|") == 4]
    claims = [row for row in rows if not row.startswith(("| attack", "| ---", "| **limit**"))]
    assert len(claims) > 30
    assert [row for row in claims if not TEST.search(row)] == []

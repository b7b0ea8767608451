"""Regular expressions that every supported Python reads alike."""

import re
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[1] / "monitor").rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_group_is_possessive(source: Path) -> None:
    """Python 3.11.2, that of Debian 12, gives up too early on ``(...)?+``; ``(?>(...)?)`` means the same."""
    assert not re.findall(r"\)[?*+]\+", source.read_text("utf-8"))

"""The pictures in documents: they are small, and each is shown."""

import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = sorted((ROOT / "docs" / "images").glob("*.png"))
MOST = 150_000
"""Octets of one."""


def test_each_is_small_and_whole() -> None:
    assert PICTURES
    for path in PICTURES:
        assert path.stat().st_size < MOST, path.name
        with Image.open(path) as picture:
            picture.load()


def test_each_is_shown_and_has_words_for_who_does_not_see_it() -> None:
    texts = "".join(path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")))
    shown = {name: words for words, name in re.findall(r"!\[([^\]]*)\]\([^)]*images/([^)]+)\)", texts)}
    assert set(shown) == {path.name for path in PICTURES}
    assert all(len(words.split()) > 4 for words in shown.values())

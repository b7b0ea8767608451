"""Markup that is well formed and escaped by construction. Whatever comes as ``str`` is text."""

import re
from html import escape
from itertools import groupby

_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that leave nothing to be seen. Most of what is not seen Python calls not printable."""
_KEY = re.compile(r"(inline\s*:\s*)[^|;\s\"']+", re.IGNORECASE)
_KEY_LINE = re.compile(r"crypto|inline|key-mgmt|mikey", re.IGNORECASE)
_KEY_LIKE = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_MASK = "…key not shown…"


class Markup(str):
    """HTML or SVG; only this module makes it out of text."""

    __slots__ = ()


Child = Markup | str | int | None


def visible(text: str) -> str:
    """``text`` with each odd character as an escape sequence that can be seen, and without keys."""
    value = masked(text)
    if not _odd(value):
        return value
    return "".join(_code(each) if _odd(each) else each for each in value)


def masked(text: str) -> str:
    """``text`` without what may be a key in it."""
    if not _KEY_LINE.search(text):
        return text
    return _KEY_LIKE.sub(_MASK, _KEY.sub(rf"\1{_MASK}", text))


def shortened(text: str, most: int) -> str:
    """``text`` cut to at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def text(value: str) -> Markup:
    """Text as markup, odd characters set off."""
    value = masked(value)
    if not _odd(value):
        return Markup(escape(value))
    runs = groupby(value, _odd)
    return Markup("".join(_set_off("".join(run)) if odd else escape("".join(run)) for odd, run in runs))


def tag(name: str, /, *children: Child, **attributes: str | int | float | None) -> Markup:
    """One element.

    :param children: markup is taken as it is, text is escaped, None is nothing.
    :param attributes: ``class_`` stands for ``class`` and ``_`` for ``-``; one that is None is left out.
    """
    opened = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(_number(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{opened}>")
    return Markup(f"<{name}{opened}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Markup and texts one after the other."""
    return Markup("".join(_child(each) for each in children if each is not None))


_VOID = frozenset(("br", "meta", "link", "hr"))


def _child(child: Child) -> str:
    return child if isinstance(child, Markup) else escape(visible(str(child)))


def _number(value: str | int | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _odd(value: str) -> bool:
    """Whether there is anything in ``value`` that is not seen, or changes how other characters are seen."""
    return not value.isprintable() or _BLANK.search(value) is not None


def _set_off(odd: str) -> str:
    return f'<span class="odd">{"".join(map(_code, odd))}</span>'


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

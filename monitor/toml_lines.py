"""On which line of a TOML text each key stands, which ``tomllib`` does not tell."""

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Keys from the root down; an integer is the place in an array."""

_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|("(?:[^"\\\n]|\\.)*")|'([^'\n]*)')[ \t]*(\.?)""")
_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\[\s\S])*?"{3,5}|\'\'\'[\s\S]*?\'{3,5}'''
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[\[\]{}\n]"""
)
_REST = re.compile(r"[^\n]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The 1-based line of each table and key of a valid TOML text.

    Keys inside inline tables and elements of arrays are not told apart from the key that holds them.
    """
    text = text.replace("\r\n", "\n")
    lines: dict[KeyPath, int] = {}
    arrays: dict[KeyPath, int] = {}
    table: KeyPath = ()
    line, counted = 1, 0
    at = _SPACE.match(text, 0).end()  # type: ignore[union-attr]
    while at < len(text):
        line += text.count("\n", counted, at)
        counted = at
        if text[at] == "[":
            of_array = text.startswith("[[", at)
            parts, at = _key(text, at + 1 + of_array)
            table = _table(parts, of_array, arrays)
            lines.setdefault(table, line)
            at = _REST.match(text, at).end()  # type: ignore[union-attr]
        else:
            parts, at = _key(text, at)
            for depth in range(1, len(parts) + 1):
                lines.setdefault(table + parts[:depth], line)
            at = _past_value(text, at)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of ``path``, else of the nearest key above it, else the first."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _key(text: str, at: int) -> tuple[KeyPath, int]:
    """The dotted key at ``at`` and where it ends."""
    parts: list[str | int] = []
    while match := _KEY.match(text, at):
        bare, basic, literal, dot = match.groups()
        parts.append(tomllib.loads(f"key = {basic}")["key"] if basic else bare or literal or "")
        at = match.end()
        if not dot:
            break
    return tuple(parts), at


def _table(parts: KeyPath, of_array: bool, arrays: dict[KeyPath, int]) -> KeyPath:
    """The path of a table header, in the last table so far of each array of tables on the way."""
    path: KeyPath = ()
    for index, part in enumerate(parts, 1):
        path += (part,)
        if of_array and index == len(parts):
            arrays[path] = arrays.get(path, 0) + 1
        if path in arrays:
            path += (arrays[path] - 1,)
    return path


def _past_value(text: str, at: int) -> int:
    """Where the line ends on which the value ends that begins after ``at``."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        first = token.group()[0]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        elif first == "\n" and depth == 0:
            return token.start()
    return len(text)

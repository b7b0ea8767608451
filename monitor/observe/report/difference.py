"""Two header sections side by side: which lines belong together, and what differs within them."""

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple

from monitor.observe.report.markup import masked, shortened
from monitor.sip.header import COMPACT

MAX_LINES = 80
"""Lines of one header section that are compared."""
MAX_LINE = 600
"""Characters of a line that are compared."""
MAX_WORDS = 100
"""Words of a line that are compared one by one; of longer ones only what they begin and end with."""

_WORD = re.compile(r"[\w.-]+|\W")


class Mark(StrEnum):
    """How a line of one section relates to the other section."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    """Only in the first."""
    NEW = "new"
    """Only in the second."""


class Piece(NamedTuple):
    """A stretch of a line."""

    text: str
    differs: bool


class Pair(NamedTuple):
    """Lines that belong together; one is empty where there is none."""

    mark: Mark
    one: tuple[Piece, ...]
    other: tuple[Piece, ...]


def compare(one: Sequence[str], other: Sequence[str]) -> Iterator[Pair]:
    """Pair the lines of two header sections, start lines first, fields by name and occurrence.

    Fields keep the order of ``one``; what only ``other`` has comes where it stands there.
    """
    left, right = _lines(one), _lines(other)
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for number, (name, _) in enumerate(right):
        waiting[name].append(number)
    partners = [waiting[name].popleft() if waiting[name] else None for name, _ in left]
    taken = set(partners)
    at = 0
    for (_, line), partner in zip(left, partners, strict=True):
        if partner is None:
            yield Pair(Mark.GONE, (Piece(line, True),), ())
            continue
        for number in range(at, partner):
            if number not in taken:
                yield Pair(Mark.NEW, (), (Piece(right[number][1], True),))
        at = max(at, partner + 1)
        yield _pair(line, right[partner][1])
    for number in range(at, len(right)):
        if number not in taken:
            yield Pair(Mark.NEW, (), (Piece(right[number][1], True),))


def _lines(section: Sequence[str]) -> list[tuple[str, str]]:
    """Each line with the name that it is paired by; the start line has none."""
    lines = []
    for number, line in enumerate(section[:MAX_LINES]):
        name = line.partition(":")[0].strip().lower() if number else ""
        lines.append((COMPACT.get(name, name), shortened(masked(line), MAX_LINE)))
    return lines


def _pair(one: str, other: str) -> Pair:
    if one == other:
        piece = (Piece(one, False),)
        return Pair(Mark.SAME, piece, piece)
    left, right = _WORD.findall(one), _WORD.findall(other)
    if max(len(left), len(right)) > MAX_WORDS:
        return Pair(Mark.CHANGED, *_ends(left, right))
    one_pieces: list[Piece] = []
    other_pieces: list[Piece] = []
    for operation, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        differs = operation != "equal"
        one_pieces.append(Piece("".join(left[a:b]), differs))
        other_pieces.append(Piece("".join(right[c:d]), differs))
    return Pair(Mark.CHANGED, _filled(one_pieces), _filled(other_pieces))


def _ends(left: list[str], right: list[str]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Pieces of two long lines: a common beginning, what differs, a common end."""
    shorter = min(len(left), len(right))
    begin = next((at for at in range(shorter) if left[at] != right[at]), shorter)
    end = next((at for at in range(shorter - begin) if left[-1 - at] != right[-1 - at]), shorter - begin)

    def pieces(words: list[str]) -> tuple[Piece, ...]:
        stop = len(words) - end
        parts = (words[:begin], False), (words[begin:stop], True), (words[stop:], False)
        return _filled([Piece("".join(part), differs) for part, differs in parts])

    return pieces(left), pieces(right)


def _filled(pieces: list[Piece]) -> tuple[Piece, ...]:
    return tuple(piece for piece in pieces if piece.text)

"""The rows of docs/conformance.md: each is observed by a run of the tests, which say what it must be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Row:
    """One format or file."""

    name: str
    expected: str
    observe: Callable[[], str]
    note: str = ""
    """Why the outcome is what it is, where that does not go without saying."""


@dataclass(frozen=True)
class Section:
    """Rows of one kind."""

    title: str
    about: str
    column: str
    """What the names of the rows are."""
    rows: tuple[Row, ...]


@cache
def observed(row: Row) -> str:
    """What comes of a row; observed once in a run."""
    return row.observe()


def together(*outcomes: str) -> str:
    """The outcomes of variants that one row stands for: one, if they agree."""
    return " / ".join(dict.fromkeys(outcomes))


HEAD = """\
# Conformance

What the monitor makes of every format in which SIP and S/MIME can carry a key, and of what others published.
`make conformance` writes this file from what a run of the tests observes; a test fails where it is outdated.

Where nothing else is said, each row goes through the whole pipeline with the default policy: a message with
a fresh key, from Bob to Alice, in the form that the row names. Then Charles sends the same key in clear, in a
call of his own.

| outcome | means |
| --- | --- |
| key read | the key was found: what Charles sends is denied as `key-reused` |
| envelope recognised | the envelope could not be opened; sent again it is denied as `envelope-reused` |
| malformed, unsupported, … | the exception was told; the message passes, as it does by the default policy |
| denied as ambiguous, limit, … | the exception was told, and the message does not pass |
| duplicate-key, weak-signature, … | the alert was told with the ruling |
| clean, no key | read without any exception; there is no key in it |
| no SIP | nothing in it is taken for SIP |
"""


def render(sections: Iterable[Section]) -> str:
    """The document."""
    parts = [HEAD]
    for section in sections:
        noted = any(row.note for row in section.rows)
        parts.append(f"## {section.title}\n\n{section.about}\n")
        heading = [section.column, "outcome", *(["because"] if noted else [])]
        lines = [heading, ["---"] * len(heading)]
        lines += [
            [row.name.replace("|", "\\|"), observed(row), *([row.note] if noted else [])]
            for row in section.rows
        ]
        parts.append("".join(f"| {' | '.join(cells)} |\n" for cells in lines))
    return "\n".join(parts)

"""What is shared by the rows of what others published."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from frames import tcp, udp
from matrix import Row
from probe import ALICE, BOB, framed, outcome
from smime_material import corpus

CLEAN = "clean, no key"
AMBIGUOUS, MALFORMED, UNSUPPORTED = "denied as ambiguous", "malformed", "unsupported"
MOST = 60_000
"""Octets that go into one datagram or segment."""
Expected = dict[str, tuple[str, str]]
"""Outcome and its reason, by file."""


def datagram(message: bytes, keys: Iterable[str] = ()) -> str:
    """What comes of a message in a datagram; on a stream where it is too long for one."""
    if len(message) < MOST:
        packets = [udp(BOB, ALICE, message)]
    else:
        packets = [tcp(BOB, ALICE, at, message[at : at + MOST]) for at in range(0, len(message), MOST)]
    return outcome(framed(packets), keys=tuple(keys))


def by_file(
    folder: str, pattern: str, expected: Expected, observe: Callable[[Path], str], label: str = "{}"
) -> tuple[Row, ...]:
    """A row for each file, by default clean."""
    files = sorted(corpus(folder).glob(pattern))
    unknown = set(expected) - {file.name for file in files}
    assert not unknown, unknown
    return tuple(
        Row(label.format(file.name), outcome, partial(observe, file), why)
        for file in files
        for outcome, why in [expected.get(file.name, (CLEAN, ""))]
    )


def counted(name: str, expected: str, outcomes: Callable[[], Iterator[str]], why: str = "") -> Row:
    """One row for many: how many had each outcome."""

    def observe() -> str:
        return ", ".join(f"{count} × {each}" for each, count in Counter(sorted(outcomes())).items())

    return Row(name, expected, observe, why)


def finished(file: Path) -> bytes:
    """The message of a file that was saved without its last line end."""
    octets = file.read_bytes()
    return octets if re.search(rb"\n\r?\n", octets.lstrip()) else octets + b"\r\n"

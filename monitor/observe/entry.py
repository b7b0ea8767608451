"""Entries of the evidence log: a chain of hashes, each signed with the site's evidence key.

The log is a directory of segments, ``evidence-<index of the first entry, 16 digits>.jsonl``; each line is one
entry (a JSON object without blanks):

    {"entry":{"index":7,"previous":"<hash>",…},"hash":"<64 hexadecimal digits>","signature":"<base64>"}

``hash`` is SHA-256 over the octets of the inner object just as they stand, which holds the hash of the entry
before it (64 zeros in the first). ``signature`` is Ed25519 over the line that ``signed_text`` makes of it.
``head.json`` holds index, hash and signature of the latest entry, so that a log cut off at its end shows, and
``evidence.pub`` the public key.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

HEAD, PUBLIC_KEY = "head.json", "evidence.pub"
MAX_LINE = 4 << 20
"""Octets of a line. The largest message (``framing.MAX_MESSAGE``) takes a quarter of that in base64."""

_BEGIN = b'{"entry":'
_END = re.compile(rb',"hash":"([0-9a-f]{64})","signature":"([A-Za-z0-9+/]{86}==)"\}')
_END_LENGTH = len(',"hash":"","signature":""}') + 64 + 88
_NAME = re.compile(r"evidence-(\d{16})\.jsonl")

_FIELDS = {
    "index": int,
    "previous": str,
    "time": int,
    "source": str,
    "source_port": int,
    "destination": str,
    "destination_port": int,
    "transport": str,
    "records": list,
}
"""Without which an entry is none."""


class EvidenceError(Exception):
    """The evidence log cannot be written or read. One line, with the mend."""


@dataclass(frozen=True, slots=True)
class Head:
    """An entry as the chain knows it."""

    index: int
    hash: str
    signature: bytes

    def encode(self) -> bytes:
        """The line of ``head.json``; all are equally long, so that one overwrites the other."""
        index, signature = f"{self.index:>20}", base64.b64encode(self.signature).decode()
        return f'{{"index":{index},"hash":"{self.hash}","signature":"{signature}"}}\n'.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self | None:
        """Read that line; None where it is none."""
        try:
            document = json.loads(octets.partition(b"\n")[0])
            return cls(int(document["index"]), str(document["hash"]), _octets(document["signature"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


START = Head(0, "0" * 64, b"")
"""What the first entry follows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read; nothing says yet that it is genuine."""

    octets: bytes
    """What the hash is over."""
    head: Head
    document: dict[str, Any]

    @property
    def intact(self) -> bool:
        """Whether its octets are those that were hashed."""
        return hashlib.sha256(self.octets).hexdigest() == self.head.hash

    @property
    def message(self) -> bytes:
        """The exact octets of the message."""
        return _octets(self.document["message"])

    @property
    def certificate(self) -> bytes:
        """DER of the signer's certificate, empty where none is known."""
        return _octets(self.document["certificate"] or "")


class Line(NamedTuple):
    """A line of a segment."""

    number: int
    """1-based."""
    octets: bytes
    """Without its end; cut after ``MAX_LINE``."""
    end: int
    """Where the next line begins in the file."""
    whole: bool
    """It has an end, and is not too long."""


def signed_text(digest: str) -> bytes:
    """What is signed of an entry with this hash."""
    return f"sip-replay-monitor evidence {digest}\n".encode("ascii")


def encode(octets: bytes, head: Head) -> bytes:
    """The line of an entry."""
    signature = base64.b64encode(head.signature)
    return b'%b%b,"hash":"%b","signature":"%b"}\n' % (_BEGIN, octets, head.hash.encode("ascii"), signature)


def decode(line: bytes) -> Entry | None:
    """The entry of a line (without its end); None where it is none."""
    end = _END.fullmatch(line[-_END_LENGTH:])
    if end is None or not line.startswith(_BEGIN):
        return None
    octets = line[len(_BEGIN) : -_END_LENGTH]
    try:
        document = json.loads(octets)
        entry = Entry(octets, Head(document["index"], end[1].decode(), _octets(end[2].decode())), document)
        if not all(type(document[name]) is kind for name, kind in _FIELDS.items()):
            return None
        if not (0 <= document["time"] < 1 << 63 and all(type(one) is dict for one in document["records"])):
            return None
        _ = entry.message, entry.certificate
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return entry


def segment_name(index: int) -> str:
    """The name of the segment whose first entry is ``index``."""
    return f"evidence-{index:016d}.jsonl"


def segments(directory: Path) -> list[Path]:
    """The segments of a log, in their order.

    :raises OSError: the directory cannot be read.
    """
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def lines(path: Path) -> Iterator[Line]:
    """The lines of a segment, one at a time in memory.

    :raises OSError: it cannot be read.
    """
    number = end = 0
    with path.open("rb") as file:
        while octets := file.readline(MAX_LINE):
            number += 1
            end += len(octets)
            rest = octets
            while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE)):
                end += len(rest)
            yield Line(number, octets.removesuffix(b"\n"), end, octets.endswith(b"\n"))


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None

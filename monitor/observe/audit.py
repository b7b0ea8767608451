"""Verification of an evidence log: what was changed, removed, put in or moved since it was written.

Whoever has the signing key can write another log. Against that, and against one that was cut off together
with its head, only a head that is noted elsewhere helps.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monitor.observe import entry
from monitor.observe.entry import HEAD, MAX_LINE, START, Entry, EvidenceError, Head


def public_key(path: Path) -> Ed25519PublicKey:
    """The key to verify with, from a public or private key in PEM.

    :raises EvidenceError: it cannot be read, or is another kind of key.
    """
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from error
    key: object = None
    try:
        if b"PRIVATE KEY-----" in octets:
            key = serialization.load_pem_private_key(octets, None)
        else:
            key = serialization.load_pem_public_key(octets)
    except (ValueError, TypeError):
        pass
    if isinstance(key, Ed25519PrivateKey):
        return key.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError(f"{path}: no Ed25519 key in PEM")
    return key


def genuine(head: Head, key: Ed25519PublicKey) -> bool:
    """Whether the signature of an entry is by this key."""
    try:
        key.verify(head.signature, entry.signed_text(head.hash))
    except InvalidSignature:
        return False
    return True


class Audit:
    """One reading of a log. After ``findings`` is exhausted the attributes tell of the whole.

    :param first: index that the log begins with, more than 1 where older segments were put elsewhere.
    :param anchor: index and hash of an entry as noted elsewhere.
    """

    def __init__(
        self,
        directory: Path,
        key: Ed25519PublicKey,
        *,
        first: int = 1,
        anchor: tuple[int, str] | None = None,
    ) -> None:
        self._directory, self._key, self._first = directory, key, first
        self.entries = 0
        self.last = START if first == 1 else Head(first - 1, "", b"")
        """The last entry; its hash is empty where it could not be read."""
        self.torn = 0
        """Octets of an unfinished entry at the end, as a write that was cut short leaves them."""
        self._anchors: dict[int, tuple[str, str]] = {}
        """By index: the hash that the entry must have, and what tells so."""
        if anchor is not None:
            self._anchors[anchor[0]] = anchor[1], "the note"

    def findings(self, advance: Callable[[int], None] = lambda octets: None) -> Iterator[str]:
        """What is wrong, one line each, in the order of the log.

        :param advance: told of the octets read since the last call.
        :raises EvidenceError: the log cannot be read.
        """
        try:
            head = Head.decode(self._read_head())
            paths = entry.segments(self._directory)
            if head is None and paths:
                yield f"{HEAD} is missing or cannot be read: whether the log was cut off cannot be told"
            elif head is not None and not genuine(head, self._key):
                yield f"{HEAD}: the signature is not by this key"
            elif head is not None and self._anchors.setdefault(head.index, (head.hash, HEAD))[0] != head.hash:
                yield f"{HEAD}: entry {head.index} has another hash than was noted"
            for path in paths:
                yield from self._segment(path, path is paths[-1], advance)
        except OSError as error:
            raise EvidenceError(f"{error.filename or self._directory}: {error.strerror}") from error
        for index in sorted(self._anchors):
            if index >= self._first:
                yield f"entry {index}, of which {self._anchors[index][1]} tells, is missing"

    def _read_head(self) -> bytes:
        try:
            return (self._directory / HEAD).read_bytes()[:4096]
        except FileNotFoundError:
            return b""

    def _segment(self, path: Path, final: bool, advance: Callable[[int], None]) -> Iterator[str]:
        before = 0
        for line in entry.lines(path):
            advance(line.end - before)
            place = f"{path.name}:{line.number}"
            found = entry.decode(line.octets) if line.whole else None
            if not line.whole and final and len(line.octets) < MAX_LINE:
                self.torn = len(line.octets)
            elif found is None:
                yield f"{place}: no entry can be read"
                self.last = Head(self.last.index + 1, "", b"")
            else:
                self.entries += 1
                for what in self._entry(found):
                    yield f"{place}: entry {found.head.index}: {what}"
                if line.number == 1 and path.name != entry.segment_name(found.head.index):
                    yield f"{place}: the segment's name is not that of entry {found.head.index}"
                self.last = found.head
            before = line.end

    def _entry(self, found: Entry) -> Iterator[str]:
        head, last = found.head, self.last
        if not found.intact:
            yield "changed: the hash is another"
        if not genuine(head, self._key):
            yield "the signature is not by this key"
        expected = last.index + 1
        if head.index > expected:
            yield f"entries {expected} to {head.index - 1} before it are missing"
        elif head.index < expected:
            yield f"out of order: entry {expected} must stand here"
        elif last.hash and found.document["previous"] != last.hash:
            yield "does not follow the entry before it"
        wanted = self._anchors.pop(head.index, None)
        if wanted is not None and wanted[0] != head.hash:
            yield f"has another hash than {wanted[1]} tells"

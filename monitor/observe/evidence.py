"""The evidence log as it is written: exhibits become signed entries before their verdicts are given."""

import base64
import fcntl
import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor import compact_json, private_file
from monitor.exhibit import Exhibit
from monitor.observe import entry
from monitor.observe.audit import genuine
from monitor.observe.entry import HEAD, PUBLIC_KEY, START, EvidenceError, Head, Line
from monitor.private_file import PrivateFileError
from monitor.wire import address

SEGMENT = 64 << 20
"""Octets after which a segment is followed by another."""
LONGEST_KEY = 16384
"""Octets of a key file."""

log = logging.getLogger("monitor")


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key that entries are signed with: Ed25519, PEM; made, mode 0600, where the file is missing.

    :raises EvidenceError: it cannot be read or made, others can read it, or it is another kind of key.
    """
    try:
        with suppress(FileNotFoundError):
            return _load(path)
        private_file.make(
            path,
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        return _load(path)
    except PrivateFileError as error:
        raise EvidenceError(str(error)) from error


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(private_file.read(path, LONGEST_KEY), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(f"{path}: no Ed25519 private key in PEM (openssl genpkey -algorithm ed25519)")
    return key


def encode(exhibit: Exhibit, before: Head, key: Ed25519PrivateKey) -> tuple[bytes, Head]:
    """The line of an exhibit that follows ``before``, and the head that it makes."""
    index = before.index + 1
    octets = compact_json.encode(_document(exhibit, index, before.hash)).encode("ascii")
    digest = hashlib.sha256(octets).hexdigest()
    head = Head(index, digest, key.sign(entry.signed_text(digest)))
    return entry.encode(octets, head), head


def _document(exhibit: Exhibit, index: int, previous: str) -> dict[str, Any]:
    flow = exhibit.flow
    return {
        "index": index,
        "previous": previous,
        "time": exhibit.time,
        "frame": exhibit.frame,
        "source": address.text(flow.source),
        "source_port": flow.source_port,
        "destination": address.text(flow.destination),
        "destination_port": flow.destination_port,
        "transport": flow.transport,
        "effective_source": address.text(exhibit.source),
        "template": exhibit.template,
        "policy": exhibit.policy,
        "signer": exhibit.signer or None,
        "certificate": _base64(exhibit.certificate) or None,
        "records": [record.document() for record in exhibit.records],
        "message": _base64(exhibit.message),
    }


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


@dataclass(slots=True)
class _Segment:
    """The segment that is written to."""

    descriptor: int
    size: int


class EvidenceLog:
    """Appends exhibits. What could not be written is told once, and counted.

    :param directory: made, mode 0700, where it is missing.
    :param limit: octets that all segments may take up together; beyond that nothing is written.
    :param durable: whether each write waits until it outlasts a loss of power.
    :param required: whether what could not be written must not pass; the event loop sees to that.
    :raises EvidenceError: the directory cannot be used, another process writes there, or its log was
        signed with another key.
    """

    def __init__(
        self,
        directory: Path,
        key: Ed25519PrivateKey,
        *,
        limit: int,
        durable: bool = False,
        required: bool = False,
    ) -> None:
        self._directory, self._key = directory, key
        self._limit, self._durable, self.required = limit, durable, required
        self._segment: _Segment | None = None
        self.written = 0
        """Entries since it was opened."""
        self.lost = 0
        """Exhibits that could not be written since then."""
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._publish()
            self._head_file = os.open(directory / HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._resume()
        except BlockingIOError:
            raise EvidenceError(f"{directory}: another process writes evidence there") from None
        except OSError as error:
            raise EvidenceError(f"{directory}: {error.strerror} (mend [evidence] directory)") from error

    def write(self, exhibits: Sequence[Exhibit]) -> bool:
        """Append entries in one write; False where not all of them could be written: then none is."""
        head = self.head
        lines: list[bytes] = []
        for exhibit in exhibits:
            line, head = encode(exhibit, head, self._key)
            lines.append(line)
        octets = b"".join(lines)
        try:
            self._append(octets)
        except OSError as error:
            if not self.lost:
                log.error("evidence cannot be written to %s: %s", self._directory, error.strerror)
            self.lost += len(lines)
            return False
        self.written += len(lines)
        self._put_head(head)
        return True

    def close(self) -> None:
        """Close the files, and let others write. The log tells where it ends: that can be held against it."""
        log.info("evidence in %s ends with entry %d:%s", self._directory, self.head.index, self.head.hash)
        self._leave()
        os.close(self._head_file)
        os.close(self._lock)

    def _append(self, octets: bytes) -> None:
        if self._size + len(octets) > self._limit:
            raise OSError(0, f"it has the {self._limit} octets that [evidence] limit allows")
        if self._segment is None or self._segment.size >= SEGMENT:
            self._leave()
            path = self._directory / entry.segment_name(self.head.index + 1)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._segment = _Segment(os.open(path, flags, 0o600), 0)
            if self._durable:
                os.fsync(self._lock)
        segment = self._segment
        try:
            written = 0
            while written < len(octets):
                written += os.write(segment.descriptor, octets[written:])
            if self._durable:
                os.fdatasync(segment.descriptor)
        except OSError:
            os.ftruncate(segment.descriptor, segment.size)
            raise
        segment.size += len(octets)
        self._size += len(octets)

    def _put_head(self, head: Head) -> None:
        self.head = head
        try:
            os.pwrite(self._head_file, head.encode(), 0)
        except OSError as error:
            log.error("%s cannot be written: %s", self._directory / HEAD, error.strerror)

    def _leave(self) -> None:
        if self._segment is not None:
            os.close(self._segment.descriptor)
            self._segment = None

    def _publish(self) -> None:
        """Put the public key beside the log, for those who verify it."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path = self._directory / PUBLIC_KEY
        try:
            known = path.read_bytes()
        except FileNotFoundError:
            path.write_bytes(public)
            return
        if known != public:
            raise EvidenceError(
                f"{path}: the log there was signed with another key (put that key back, or use another"
                " directory)"
            )

    def _resume(self) -> None:
        """Find where the log ends, and go on there; an entry that was cut short by the process's end goes."""
        told = Head.decode(os.pread(self._head_file, 4096, 0))
        if told is not None and not genuine(told, self._key.public_key()):
            told = None
        paths = entry.segments(self._directory)
        self._size = sum(path.stat().st_size for path in paths)
        self.head = told or START
        if not paths:
            if told is None:
                signature = self._key.sign(entry.signed_text(START.hash))
                self._put_head(Head(START.index, START.hash, signature))
            return
        path, last = paths[-1], _last_line(paths[-1])
        whole = last.end if last is not None else 0
        if last is None and len(paths) > 1:
            last = _last_line(paths[-2])
        found = entry.decode(last.octets) if last is not None else None
        end = found.head if found is not None else START
        if told is None or told.index > end.index or (told.index == end.index and told.hash != end.hash):
            # The next entry follows the head, in a segment of its own: what is missing stays missing.
            log.error("%s: entries or %s are missing or changed: evidence verify", self._directory, HEAD)
            self.head = max(told or START, end, key=lambda head: head.index)
            return
        self.head = end
        cut = path.stat().st_size - whole
        if cut:
            log.warning("%s: an unfinished entry of %d octets is cut off", path, cut)
            os.truncate(path, whole)
            self._size -= cut
        self._segment = _Segment(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), whole)


def _last_line(path: Path) -> Line | None:
    """The last line of a segment that has its end."""
    last = None
    for line in entry.lines(path):
        if line.whole:
            last = line
    return last

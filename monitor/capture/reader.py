"""Capture files as octets: read in large pieces, gzip taken off on the way."""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

CHUNK = 1 << 18
"""Octets read of a file, or unpacked, at a time. It bounds the memory, whatever the file unpacks to."""

_GZIP_MAGIC = b"\x1f\x8b"
_STANDARD_INPUT = 0


class CaptureError(Exception):
    """A capture that cannot be read: one line that names the file, the offset and the mend."""


class Reader:
    """The octets of a capture file, plain or in gzip, from a path or from standard input (``-``).

    :param hashed: whether to hash what is read, for ``sha256``.
    :raises CaptureError: it cannot be opened.
    """

    def __init__(self, path: str, *, hashed: bool = False) -> None:
        self.name = "standard input" if path == "-" else _shown(path)
        self.size = 0
        """Octets of the file as stored, 0 where that is unknown (a pipe)."""
        self.position = 0
        """Octets of the file read so far, as stored."""
        self.offset = 0
        """Octets given so far, unpacked."""
        self.warnings: list[str] = []
        """What is amiss with the file and did not keep it from being read, one line each."""
        self.packed = False
        """Whether it is in gzip."""
        self.snap_length = 0
        """Most octets of a packet that were kept, 0 where the file does not say."""
        self._hash = hashlib.sha256() if hashed else None
        try:
            if path == "-":
                self._file: BinaryIO = open(_STANDARD_INPUT, "rb", buffering=0, closefd=False)  # noqa: SIM115
            else:
                self._file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115
                self.size = Path(path).stat().st_size
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CaptureError(f"{self.name}: cannot be opened: {reason}") from error
        self._chunks = self._contents()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._file.close()

    def sha256(self) -> str:
        """The SHA-256 of the whole file as stored, of which the rest is read; empty if it is not hashed.

        :raises CaptureError: the file cannot be read.
        """
        if self._hash is None:
            return ""
        while self._read():
            pass
        return self._hash.hexdigest()

    def chunk(self) -> bytes:
        """The next octets, at most about ``CHUNK``; empty at the end.

        :raises CaptureError: the file cannot be read, or its gzip is corrupt.
        """
        data = next(self._chunks, b"")
        self.offset += len(data)
        return data

    def more(self, rest: bytes, wanted: int) -> bytes:
        """``rest`` and what follows it, up to at least ``wanted`` octets; fewer only at the end."""
        parts, have = [rest], len(rest)
        while have < wanted:
            data = self.chunk()
            if not data:
                break
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def _contents(self) -> Iterator[bytes]:
        head = self._read()
        if len(head) == 1:
            head += self._read()
        self.packed = head.startswith(_GZIP_MAGIC)
        if self.packed:
            yield from self._unpacked(head)
        else:
            while head:
                yield head
                head = self._read()

    def _unpacked(self, packed: bytes) -> Iterator[bytes]:
        """The octets out of the gzip members (RFC 1952 §2.2), of which there may be several."""
        while packed.startswith(_GZIP_MAGIC[: len(packed)]):
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                try:
                    data = member.decompress(packed, CHUNK)
                except zlib.error as error:
                    raise CaptureError(
                        f"{self.name}: the gzip data is corrupt before octet {self.position} ({error}); "
                        "take out what is whole with zcat"
                    ) from error
                if data:
                    yield data
                packed = member.unconsumed_tail
                if not packed and not member.eof:
                    packed = self._read()
                    if not packed and not data:
                        self.warnings.append(f"{self.name}: the gzip data is cut off, read up to there")
                        return
            packed = member.unused_data or self._read()
            if not packed:
                return
        self.warnings.append(f"{self.name}: octets after the end of the gzip data are ignored")

    def _read(self) -> bytes:
        try:
            data = self._file.read(CHUNK)
        except OSError as error:
            raise CaptureError(
                f"{self.name}: cannot be read at octet {self.position}: {error.strerror}"
            ) from error
        self.position += len(data or b"")
        if self._hash is not None and data:
            self._hash.update(data)
        return data or b""


def _shown(path: str) -> str:
    """A path for people: a line end or a terminal's command in it, which others may have put there, is told
    as an escape sequence.
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in path)

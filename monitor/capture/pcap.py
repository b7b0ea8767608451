"""Capture files as frames: pcap (IETF draft-ietf-opsawg-pcap) here, pcapng beside; and a writer of pcap."""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import BinaryIO, Self

from monitor.capture import pcapng
from monitor.capture.reader import CaptureError, Reader
from monitor.wire.frame import NANOSECONDS, Frame

__all__ = ["Capture", "CaptureError", "PcapWriter", "open_capture"]

MAX_PACKET = 1 << 20
"""Captured octets of a packet; the largest that Linux makes are half that. More is taken for damage."""
SNAP_LENGTH = 262144
"""The snapshot length written, that of tcpdump."""

_HEADER_SIZE = 24
_RECORD_SIZE = 16
_MICROSECONDS, _NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
_MAGICS = {
    Struct(order + "I").pack(magic): (order, factor)
    for magic, factor in ((_MICROSECONDS, 1000), (_NANOSECONDS, 1))
    for order in "<>"
}
_OTHERS = {
    b"\xa1\xb2\xcd\x34": "pcap as Kuznetzov changed it",
    b"\x34\xcd\xb2\xa1": "pcap as Kuznetzov changed it",
    b"snoo": "snoop",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zX": "compressed with xz",
    b"BZh9": "compressed with bzip2",
    b"PK\x03\x04": "a zip archive",
}
"""What people hand in instead, by its first four octets."""


class Capture:
    """The frames of one capture file, in the order of the file; an iterator and a context manager.

    :param first_number: what the first frame is numbered.
    :param hashed: whether ``sha256`` is wanted.
    :raises CaptureError: it is no capture. Iterating raises it where the file is damaged.
    """

    def __init__(self, path: str, first_number: int = 1, *, hashed: bool = False) -> None:
        self._reader = Reader(path, hashed=hashed)
        self._form = "pcap"
        try:
            self._frames = self._open(first_number)
        except CaptureError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    @property
    def position(self) -> int:
        """Octets of the file read so far, as stored (of the compressed file, for gzip)."""
        return self._reader.position

    @property
    def size(self) -> int:
        """Octets of the file as stored, 0 where that is unknown (a pipe)."""
        return self._reader.size

    @property
    def warnings(self) -> list[str]:
        """What is amiss and did not keep the file from being read, one line each; whole at the end."""
        return self._reader.warnings

    @property
    def name(self) -> str:
        """The path, or what standard input is called."""
        return self._reader.name

    @property
    def form(self) -> str:
        """Its format, for people."""
        return f"{self._form}, in gzip" if self._reader.packed else self._form

    @property
    def snap_length(self) -> int:
        """Most octets of a packet that were kept, 0 where the file does not say; whole at the end."""
        return self._reader.snap_length

    def sha256(self) -> str:
        """The SHA-256 of the whole file as stored, in hexadecimal; empty if it was not wanted.

        :raises CaptureError: the rest of the file cannot be read.
        """
        return self._reader.sha256()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._reader.close()

    def _open(self, number: int) -> Iterator[Frame]:
        reader = self._reader
        head = reader.more(b"", _HEADER_SIZE)
        magic = head[:4]
        if magic == pcapng.MAGIC:
            self._form = "pcapng"
            return pcapng.frames(reader, head, number)
        if magic not in _MAGICS:
            raise CaptureError(
                f"{reader.name}: not a capture: {_guess(head)}; pcap and pcapng are read, plain or gzip"
            )
        if len(head) < _HEADER_SIZE:
            raise CaptureError(
                f"{reader.name}: cut off in the file header: nothing can be read; capture anew"
            )
        order, factor = _MAGICS[magic]
        major, _, _, _, reader.snap_length, link = Struct(order + "HHIIII").unpack_from(head, 4)
        if major != 2:
            raise CaptureError(
                f"{reader.name}: pcap version {major} at octet 4 is not read; convert it with editcap"
            )
        # The upper half holds the length of the frame check sequence.
        return _records(reader, head, order, factor, link & 0xFFFF, number)


def open_capture(path: str, first_number: int = 1, *, hashed: bool = False) -> Capture:
    """Open a pcap or pcapng file, plain or in gzip; ``-`` is standard input.

    :param hashed: whether ``Capture.sha256`` is wanted.
    :raises CaptureError: it cannot be opened, or is no capture.
    """
    return Capture(path, first_number, hashed=hashed)


def _records(
    reader: Reader, buffer: bytes, order: str, factor: int, link: int, number: int
) -> Iterator[Frame]:
    unpack = Struct(order + "IIII").unpack_from
    at, base, have = _HEADER_SIZE, reader.offset - len(buffer), len(buffer)
    while True:
        if have - at < _RECORD_SIZE:
            base += at
            buffer, at = reader.more(buffer[at:], _RECORD_SIZE), 0
            have = len(buffer)
            if have < _RECORD_SIZE:
                break
        seconds, fraction, captured, length = unpack(buffer, at)
        start = at + _RECORD_SIZE
        end = start + captured
        if end > have:
            if captured > MAX_PACKET:
                raise CaptureError(
                    f"{reader.name}: damaged at octet {base + at}: a packet of {captured} octets; "
                    "cut the rest off with editcap, or capture anew"
                )
            base += at
            buffer, at = reader.more(buffer[at:], end - at), 0
            have = len(buffer)
            start, end = _RECORD_SIZE, _RECORD_SIZE + captured
            if have < end:
                break
        yield Frame(number, seconds * NANOSECONDS + fraction * factor, link, buffer[start:end], length)
        number += 1
        at = end
    if buffer:
        reader.warnings.append(f"{reader.name}: cut off in the packet at octet {base}, read up to there")


def _guess(head: bytes) -> str:
    if not head:
        return "the file is empty"
    return (
        f"it is {_OTHERS[head[:4]]}"
        if head[:4] in _OTHERS
        else f"it begins with {head[:4].hex(' ')} at octet 0"
    )


class PcapWriter:
    """Writes frames of one link type as pcap with nanoseconds; a context manager.

    :param file: a path, or a binary file, which is then left open.
    :raises OSError: the file cannot be written.
    """

    def __init__(self, file: str | Path | BinaryIO, link: int) -> None:
        self.link = link
        self._owned = isinstance(file, str | Path)
        self._file: BinaryIO = Path(file).open("wb") if isinstance(file, str | Path) else file  # noqa: SIM115
        self._record = Struct("<IIII")
        self._file.write(Struct("<IHHiIII").pack(_NANOSECONDS, 2, 4, 0, 0, SNAP_LENGTH, link))

    def write(self, frame: Frame) -> None:
        """Append a frame.

        :raises ValueError: it is of another link type, or its time does not fit the format.
        """
        if frame.link != self.link:
            raise ValueError(f"frame of link type {frame.link} in a capture of {self.link}")
        seconds, fraction = divmod(frame.time, NANOSECONDS)
        if not 0 <= seconds < 1 << 32:
            raise ValueError(f"time {frame.time} does not fit a pcap file")
        length = max(frame.length, len(frame.data))
        self._file.write(self._record.pack(seconds, fraction, len(frame.data), length))
        self._file.write(frame.data)

    def close(self) -> None:
        """Flush, and close what was opened here."""
        self._file.flush()
        if self._owned:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

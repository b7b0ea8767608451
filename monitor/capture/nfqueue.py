"""Frames from a netfilter queue, and their verdicts (libnetfilter_queue, by the netfilterqueue package).

The package asks the kernel for 4016 octets of each packet and reads into 4096. Here the queue is bound
with nothing copied, then configured by a netlink message of our own: whole packets, the queue's length,
and its flags. The socket is read here too, so a batch has a bound and a full buffer is counted.
"""

import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from netfilterqueue import COPY_NONE, COPY_PACKET, NetfilterQueue

from monitor.wire.frame import Frame
from monitor.wire.link import RAW

COPY_RANGE = 0xFFFF - 4
"""Octets of a packet that one netlink attribute holds: longer packets are truncated."""
READ_SIZE = 128 * 1024
"""Octets of one read: a whole packet with all the attributes around it."""
DEFAULT_LENGTH = 16384
"""Packets that wait in the kernel for a verdict; beyond it they are dropped, or passed when failing open."""
DEFAULT_BUFFER = 32 * 1024 * 1024
"""Octets of the socket's receive buffer."""
STAMP = 2_000_000_000
"""Nanoseconds that the kernel's time of a packet and ours may differ; beyond that its clock was set."""
STATISTICS = Path("/proc/self/net/netfilter/nfnetlink_queue")

_CONFIG = 3 << 8 | 2  # NFNL_SUBSYS_QUEUE, NFQNL_MSG_CONFIG
_REQUEST_ACK = 1 | 4  # NLM_F_REQUEST, NLM_F_ACK
_ERROR = 2  # NLMSG_ERROR, an acknowledgment when its code is 0
_HEADER = struct.Struct("=IHHII")
_length = int.from_bytes
_NOT_WAITING = int(socket.MSG_DONTWAIT)
_CFG_PARAMS, _CFG_QUEUE_MAXLEN, _CFG_MASK, _CFG_FLAGS = 2, 3, 4, 5
_FAIL_OPEN, _GSO = 1, 4
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMP = 29
_CAP_NET_ADMIN = 12


class QueueError(Exception):
    """The queue cannot be had or kept. One line, with the mend."""


class Packet(Protocol):
    """A packet that waits in the kernel for its verdict, given once, at any time and in any order."""

    def accept(self) -> None: ...
    def drop(self) -> None: ...
    def set_payload(self, payload: bytes, /) -> None: ...


Arrival = tuple[Frame, Packet]
"""A frame with the packet to give the verdict to."""
Passes = Callable[[bytes], object]
"""Tells of a packet's octets, by what is true or false, whether it is to be looked at no further."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The kernel's account of a queue."""

    length: int
    """Packets that wait for a verdict, read by us or not."""
    dropped: int
    """Packets that found the queue full."""
    user_dropped: int
    """Packets that found the socket's receive buffer full."""


def none_passes(_packet: bytes) -> bool:
    """Every packet is to be looked at."""
    return False


class Queue:
    """One bound netfilter queue.

    :param number: of the queue, as in the kernel rule (0 to 65535).
    :param length: packets that may wait for a verdict.
    :param buffer: octets of the socket's receive buffer, beyond ``net.core.rmem_max`` if need be.
    :param fail_open: whether packets pass unjudged while the queue is full.
    :param gso: whether the kernel may hand over large TCP segments before it cuts them (NFQA_CFG_F_GSO).
    :param frames: gives the numbers of the frames, for several queues to share.
    :raises QueueError: no permission, no such facility, or the queue belongs to another process.
    """

    def __init__(
        self,
        number: int,
        *,
        length: int = DEFAULT_LENGTH,
        buffer: int = DEFAULT_BUFFER,
        fail_open: bool = False,
        gso: bool = False,
        frames: Iterator[int] | None = None,
    ) -> None:
        self.number = number
        self.passed = 0
        """Packets that ``receive`` accepted itself."""
        self.passed_since = 0
        """When the oldest of those that it accepted last had come (nanoseconds since the epoch)."""
        self._arrivals: list[Arrival] = []
        self._now = 0
        self._passes: Passes = none_passes
        self._frames = frames or count(1)
        self._bound = _bind(number, self._take)
        self._socket = socket.socket(fileno=os.dup(self._bound.get_fd()))
        self._reader = _Reader(self._socket)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
            # The kernel stamps packets with their time of arrival while some socket asks for it.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
            flags = (_FAIL_OPEN if fail_open else 0) | (_GSO if gso else 0)
            self._configure(
                _attribute(_CFG_QUEUE_MAXLEN, struct.pack(">I", length))
                + _attribute(_CFG_MASK, struct.pack(">I", _FAIL_OPEN | _GSO))
                + _attribute(_CFG_FLAGS, struct.pack(">I", flags))
            )
            self._copy(COPY_PACKET)
        except OSError as error:
            self.close()
            raise QueueError(f"queue {number} cannot be configured: {error.strerror}") from error

    @property
    def overruns(self) -> int:
        """Times that the receive buffer was found to have overflowed (ENOBUFS)."""
        return self._reader.overruns

    @property
    def malformed(self) -> int:
        """Netlink messages that were passed over, since their lengths do not agree with what was read."""
        return self._reader.malformed

    def fileno(self) -> int:
        """The descriptor to wait on for packets."""
        return self._socket.fileno()

    def receive(self, now: int, limit: int, passes: Passes = none_passes) -> list[Arrival]:
        """The packets that wait to be read, at most ``limit``, without waiting for more.

        :param now: nanoseconds since the epoch, the time of frames that the kernel gives none near it.
        :param passes: says which packets are accepted at once. They are counted in ``passed``, and their
            numbers stay unused.
        :raises QueueError: the socket failed for good.
        """
        arrivals: list[Arrival] = []
        self._arrivals = arrivals
        self._now, self._passes, self.passed_since = now, passes, 0
        self._reader.left = limit
        try:
            self._bound.run_socket(self._reader)
        except OSError as error:
            raise QueueError(f"queue {self.number} cannot be read: {error.strerror}") from error
        return arrivals

    def pause(self) -> None:
        """Take no further packets in: the kernel drops what comes from now on; verdicts go on."""
        try:
            self._copy(COPY_NONE)
        except OSError as error:
            raise QueueError(f"queue {self.number} cannot be paused: {error.strerror}") from error

    def close(self) -> None:
        """Unbind; the kernel drops what still waits for a verdict. A second call does nothing."""
        self._bound.unbind()
        self._socket.close()

    def _take(self, packet: Any) -> None:
        # An exception here would reach the caller of receive(), and the packet would wait for ever.
        try:
            data = packet.get_payload()
            if not self._passes(data):
                self._arrivals.append((self._frame(packet, data), packet))
                return
        except Exception:
            packet.drop()
            return
        packet.accept()
        self.passed += 1
        next(self._frames)
        if not self.passed_since:
            self.passed_since = self._time(packet)

    def _time(self, packet: Any) -> int:
        stamp = round(packet.get_timestamp() * 1_000_000) * 1000
        return stamp if abs(stamp - self._now) < STAMP else self._now

    def _frame(self, packet: Any, data: bytes) -> Frame:
        return Frame(
            next(self._frames),
            self._time(packet),
            RAW,
            data,
            wire_length(data),
            packet.mark,
            _interface(packet.indev),
        )

    def _copy(self, mode: int) -> None:
        self._configure(_attribute(_CFG_PARAMS, struct.pack(">IB", COPY_RANGE, mode)))

    def _configure(self, attributes: bytes) -> None:
        """Send one configuration message and wait for its acknowledgment; packets before it are kept."""
        body = struct.pack(">BBH", socket.AF_UNSPEC, 0, self.number) + attributes
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _CONFIG, _REQUEST_ACK, 0, 0) + body)
        while True:
            message = self._reader.next()
            if _HEADER.unpack_from(message)[1] == _ERROR:
                (code,) = struct.unpack_from("=i", message, _HEADER.size)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return
            self._reader.early.append(message)


class _Reader:
    """What ``NetfilterQueue.run_socket`` reads from until it raises EAGAIN: the socket, up to a bound."""

    def __init__(self, source: socket.socket) -> None:
        self._receive = source.recv_into
        # One buffer for all: making one of this size for each message costs more than to copy what came.
        self._buffer = memoryview(bytearray(READ_SIZE))
        self.left = 0
        self.overruns = 0
        self.malformed = 0
        self.early: deque[bytes] = deque()

    def recv(self, _size: int) -> bytes:
        """The next message; the size asked for is the library's 4096 and is not heeded."""
        while self.left:
            self.left -= 1
            message = self.early.popleft() if self.early else self.next(_NOT_WAITING)
            # One message that fills what was read: so it nearly always is.
            if _length(message[:4], sys.byteorder) == len(message) > _HEADER.size or is_whole(message):
                return message
            self.malformed += 1
        raise BlockingIOError(errno.EAGAIN, "the batch is full")

    def next(self, flags: int = 0) -> bytes:
        """The next message of the socket."""
        buffer = self._buffer
        while True:
            try:
                return bytes(buffer[: self._receive(buffer, READ_SIZE, flags)])
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overruns += 1


def is_whole(octets: bytes) -> bool:
    """Whether netlink messages (netlink(7)) take up all of ``octets``: only such are for the library."""
    at = end = 0
    while at + _HEADER.size <= len(octets):
        length = int.from_bytes(octets[at : at + 4], sys.byteorder)
        if length < _HEADER.size:
            return False
        end = at + length
        at = end + -end % 4
    return 0 < end <= len(octets) <= at


def wire_length(packet: bytes) -> int:
    """Octets that an IP packet says it has, at least those that are there (RFC 791 §3.1, RFC 8200 §3)."""
    length = len(packet)
    if length >= 40 and packet[0] >> 4 == 6:
        return max(length, 40 + int.from_bytes(packet[4:6]))
    if length >= 20 and packet[0] >> 4 == 4:
        return max(length, int.from_bytes(packet[2:4]))
    return length


def _bind(number: int, take: Callable[[Any], None]) -> Any:
    """A queue that copies nothing yet: the kernel drops what comes before it is configured, never cuts it."""
    try:
        queue = NetfilterQueue()
    except OSError as error:
        if not _may_administer():
            raise QueueError("no permission to open a netfilter queue: CAP_NET_ADMIN is needed") from error
        raise QueueError("this kernel has no netfilter queues (nfnetlink_queue)") from error
    try:
        queue.bind(number, take, mode=COPY_NONE)
    except OSError as error:
        if read_statistics(number) is not None:
            raise QueueError(f"queue {number} is taken by another process") from error
        raise QueueError(f"queue {number} cannot be bound: {error}") from error
    return queue


def _attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four octets."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def read_statistics(number: int) -> Statistics | None:
    """The kernel's account of a queue, None where there is none or it may not be read."""
    try:
        lines = STATISTICS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) >= 7 and int(fields[0]) == number:
            return Statistics(int(fields[2]), int(fields[5]), int(fields[6]))
    return None


def _may_administer() -> bool:
    """Whether this process has CAP_NET_ADMIN in effect."""
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_NET_ADMIN & 1)


@lru_cache(maxsize=1024)
def _interface(index: int) -> str:
    """The name of an interface, empty where it has gone."""
    if not index:
        return ""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""

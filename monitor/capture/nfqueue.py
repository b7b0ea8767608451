"""Frames from a netfilter queue, and their verdicts.

The queue is configured here, by netlink messages of our own, and its socket is read here, so that a batch
has a bound and a full buffer is counted. What packets are made of its messages is up to a reader.
"""

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal, Protocol

from monitor.capture import netlink
from monitor.capture.netlink import COPY_NONE, COPY_PACKET, FAIL_OPEN, GSO
from monitor.capture.netlink_reader import NetlinkReader, bound
from monitor.capture.packet import Arrival, Passes, QueueError, none_passes
from monitor.capture.recvmmsg import MANY, Receiver

DEFAULT_LENGTH = 16384
"""Packets that wait in the kernel for a verdict; beyond it they are dropped, or passed when failing open."""
DEFAULT_BUFFER = 32 * 1024 * 1024
"""Octets of the socket's receive buffer."""
STATISTICS = Path("/proc/self/net/netfilter/nfnetlink_queue")
ReaderName = Literal["netlink", "library"]

_TRIES = 3
"""Times that a configuration is sent if the kernel's answer found no room."""
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMP = 29
_CAP_NET_ADMIN = 12


class Reader(Protocol):
    """Makes packets of a queue's messages (``NetlinkReader``, ``LibraryReader``)."""

    socket: socket.socket
    passed: int
    passed_since: int
    malformed: int

    def take(self, messages: list[bytes], now: int, passes: Passes) -> list[Arrival]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Statistics:
    """The kernel's account of a queue."""

    length: int
    """Packets that wait for a verdict, read by us or not."""
    dropped: int
    """Packets that found the queue full."""
    user_dropped: int
    """Packets that found the socket's receive buffer full."""


class Queue:
    """One bound netfilter queue.

    :param number: of the queue, as in the kernel rule (0 to 65535).
    :param reader: who makes packets of its messages: ``netlink``, ourselves; ``library``, netfilterqueue.
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
        reader: ReaderName = "netlink",
        length: int = DEFAULT_LENGTH,
        buffer: int = DEFAULT_BUFFER,
        fail_open: bool = False,
        gso: bool = False,
        frames: Iterator[int] | None = None,
    ) -> None:
        self.number = number
        self.overruns = 0
        """Times that the receive buffer was found to have overflowed (ENOBUFS)."""
        self._early: list[bytes] = []
        """Messages that came before a configuration was acknowledged."""
        self._sequence = count(1 << 31)  # far from the numbers that the library gives its own
        self._reader = _reader(reader, number, frames or count(1))
        self._socket = self._reader.socket
        self._receiver = Receiver(self._socket)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
            # The kernel stamps packets with their time of arrival while some socket asks for it.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
            flags = (FAIL_OPEN if fail_open else 0) | (GSO if gso else 0)
            self._configure(netlink.limits(length, flags))
            self._configure(netlink.copying(COPY_PACKET))
        except OSError as error:
            self.close()
            raise QueueError(f"queue {number} cannot be configured: {error.strerror}") from error

    @property
    def malformed(self) -> int:
        """Netlink messages that were passed over, since their lengths do not agree with what was read."""
        return self._reader.malformed

    @property
    def passed(self) -> int:
        """Packets that ``receive`` accepted itself."""
        return self._reader.passed

    @property
    def passed_since(self) -> int:
        """When the oldest of those that it accepted last had come (nanoseconds since the epoch)."""
        return self._reader.passed_since

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
        self._reader.passed_since = 0
        try:
            while limit > 0:
                asked = min(limit, MANY)
                messages = self._read(asked)
                arrivals += self._reader.take(messages, now, passes)
                limit -= len(messages)
                if len(messages) < asked:
                    break
        except OSError as error:
            raise QueueError(f"queue {self.number} cannot be read: {error.strerror}") from error
        return arrivals

    def pause(self) -> None:
        """Take no further packets in: the kernel drops what comes from now on; verdicts go on."""
        try:
            self._configure(netlink.copying(COPY_NONE))
        except OSError as error:
            raise QueueError(f"queue {self.number} cannot be paused: {error.strerror}") from error

    def close(self) -> None:
        """Unbind; the kernel drops what still waits for a verdict. A second call does nothing."""
        self._reader.close()

    def _read(self, limit: int) -> list[bytes]:
        """Messages that wait, at most ``limit``."""
        if self._early:
            early, self._early = self._early[:limit], self._early[limit:]
            return early
        return self._receive(limit)

    def _receive(self, limit: int) -> list[bytes]:
        """Messages of the socket, at most ``limit``."""
        while True:
            try:
                return self._receiver.receive(limit)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overruns += 1

    def _configure(self, attributes: bytes) -> None:
        """Send one configuration message and see what the kernel answers; packets before that are kept."""
        for _ in range(_TRIES):
            sequence = next(self._sequence)
            self._socket.send(netlink.configuration(self.number, sequence, attributes))
            # The answer is there when send returns, unless the receive buffer was full. Then it is emptied
            # here, and there is room for the next.
            answer = None
            while answer is None and (messages := self._receive(MANY)):
                for message in messages:
                    acknowledged = netlink.acknowledgment(message)
                    if acknowledged is None:
                        self._early.append(message)
                    elif acknowledged[0] == sequence:
                        answer = acknowledged[1]
            if answer == 0:
                return
            if answer is not None:
                raise OSError(answer, os.strerror(answer))
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def _reader(name: ReaderName, number: int, frames: Iterator[int]) -> Reader:
    """A reader of a queue that is bound and copies nothing yet: the kernel drops what comes, cuts none."""
    try:
        if name == "netlink":
            return NetlinkReader(number, bound(number), frames)
        # Here, so that only who chooses it has it loaded.
        from monitor.capture.library_reader import LibraryReader

        return LibraryReader(number, frames)
    except OSError as error:
        raise QueueError(_refusal(number, error)) from error


def _refusal(number: int, error: OSError) -> str:
    """Why a queue cannot be had."""
    if not _may_administer():
        return "no permission to open a netfilter queue: CAP_NET_ADMIN is needed"
    if not STATISTICS.exists():
        return "this kernel has no netfilter queues (nfnetlink_queue)"
    if read_statistics(number) is not None:
        return f"queue {number} is taken by another process"
    return f"queue {number} cannot be bound: {error.strerror or error}"


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

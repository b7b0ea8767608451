"""The messages of a queue read by ourselves, with many verdicts to a system call."""

import errno
import os
import socket
from collections.abc import Iterator

from monitor.capture import netlink
from monitor.capture.netlink import ACCEPT, DROP, Layout, NetlinkError
from monitor.capture.packet import Arrival, Passes, QueueError, packet_frame, packet_time

LAYOUTS = 16
"""Layouts of messages that are remembered."""


class NetlinkReader:
    """Makes packets of messages, and gives the kernel their verdicts.

    Packets that pass get theirs together: one datagram with a message for each. The kernel also takes one
    message for all packets up to some identifier (NFQNL_MSG_VERDICT_BATCH). That gains little more, and
    would let go what is held among them.

    :param source: the socket that the queue is bound to.
    :param frames: gives the numbers of the frames.
    """

    def __init__(self, number: int, source: socket.socket, frames: Iterator[int]) -> None:
        self.socket = source
        self.passed = 0
        self.passed_since = 0
        self.malformed = 0
        self._number = number
        self._frames = frames
        self._layouts: list[Layout] = []
        # The identifier of the packet ends the message.
        self._accepting = netlink.verdict(number, ACCEPT, bytes(4))[:-4]

    def take(self, messages: list[bytes], now: int, passes: Passes) -> list[Arrival]:
        """The packets of messages, without those that pass, which are accepted.

        :raises OSError: the verdicts cannot be given.
        """
        arrivals: list[Arrival] = []
        passed: list[bytes] = []
        frames, layout = self._frames, None
        for message in messages:
            if layout is None or not layout.fits(message):
                layout = self._layout(message)
                if layout is None:
                    continue
            identifier = message[layout.identifier]
            # An exception here would end the daemon, and the packet would wait for ever.
            try:
                octets = message[layout.payload]
                if passes(octets):
                    if not self.passed_since:
                        self.passed_since = packet_time(layout.stamp_of(message), now)
                    next(frames)
                    passed.append(identifier)
                    continue
                time = packet_time(layout.stamp_of(message), now)
                mark, interface = layout.mark_of(message), layout.interface_of(message)
                frame = packet_frame(next(frames), time, octets, mark, interface)
                arrivals.append((frame, _Waiting(self, identifier)))
            except Exception:
                self.rule(identifier, DROP)
        if passed:
            self.socket.send(self._accepting + self._accepting.join(passed))
            self.passed += len(passed)
        return arrivals

    def rule(self, identifier: bytes, kind: int, payload: bytes | None = None) -> None:
        """Give one packet its verdict; ``payload``: what it goes on with, if not with what it came with.

        :raises QueueError: the kernel does not take it.
        """
        try:
            self.socket.send(netlink.verdict(self._number, kind, identifier, payload))
        except OSError as error:
            raise QueueError(f"queue {self._number} takes no verdict: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the queue: the kernel drops what still waits for a verdict."""
        self.socket.close()

    def _layout(self, message: bytes) -> Layout | None:
        """The layout that a message fits; None where it is no packet, or none that can be read."""
        for known in self._layouts:
            if known.fits(message):
                return known
        try:
            layout = netlink.layout_of(message)
        except NetlinkError:
            self.malformed += 1
            return None
        if layout is not None:
            self._layouts = [layout, *self._layouts[: LAYOUTS - 1]]
        return layout


class _Waiting:
    """A packet that waits for its verdict."""

    __slots__ = ("_identifier", "_payload", "_reader")

    def __init__(self, reader: NetlinkReader, identifier: bytes) -> None:
        self._reader = reader
        self._identifier = identifier
        self._payload: bytes | None = None

    def accept(self) -> None:
        self._reader.rule(self._identifier, ACCEPT, self._payload)

    def drop(self) -> None:
        self._reader.rule(self._identifier, DROP)

    def set_payload(self, payload: bytes, /) -> None:
        self._payload = payload


def bound(number: int) -> socket.socket:
    """A socket to which queue ``number`` is bound. It copies nothing yet: the kernel drops what comes.

    :raises OSError: it cannot be had.
    """
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
    try:
        made.bind((0, 0))
        # Of the kernel alone: no other process can send to a socket that is connected to it.
        made.connect((0, 0))
        made.send(netlink.configuration(number, 0, netlink.bind()))
        answer = netlink.acknowledgment(made.recv(4096))
        error = answer[1] if answer else errno.EPROTO
        if error:
            raise OSError(error, os.strerror(error))
    except OSError:
        made.close()
        raise
    return made

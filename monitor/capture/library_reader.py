"""The messages of a queue read by libnetfilter_queue (the package netfilterqueue), verdict by verdict.

By itself the package asks the kernel for 4016 octets of each packet and reads into 4096. Here it binds the
queue with nothing copied, and is handed the messages that were read for it.
"""

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

from netfilterqueue import COPY_NONE, NetfilterQueue

from monitor.capture.netlink import is_whole
from monitor.capture.packet import Arrival, Passes, none_passes, packet_frame, packet_time


class LibraryReader:
    """Makes packets of messages; they give the kernel their verdicts themselves.

    :param frames: gives the numbers of the frames.
    :raises OSError: the queue cannot be had.
    """

    def __init__(self, number: int, frames: Iterator[int]) -> None:
        self.passed = 0
        self.passed_since = 0
        self.malformed = 0
        self._frames = frames
        self._arrivals: list[Arrival] = []
        self._now = 0
        self._passes: Passes = none_passes
        self._library: Any = NetfilterQueue()
        self._library.bind(number, self._take, mode=COPY_NONE)
        self.socket = socket.socket(fileno=os.dup(self._library.get_fd()))

    def take(self, messages: list[bytes], now: int, passes: Passes) -> list[Arrival]:
        """The packets of messages, without those that pass, which are accepted.

        :raises OSError: the library gave up.
        """
        self._arrivals, self._now, self._passes = [], now, passes
        whole = [message for message in messages if is_whole(message)]
        self.malformed += len(messages) - len(whole)
        self._library.run_socket(_Messages(whole))
        return self._arrivals

    def close(self) -> None:
        """Unbind; the kernel drops what still waits for a verdict."""
        self._library.unbind()
        self.socket.close()

    def _take(self, packet: Any) -> None:
        # An exception here would reach the caller of take(), and the packet would wait for ever.
        try:
            octets = packet.get_payload()
            if not self._passes(octets):
                number, time = next(self._frames), self._time(packet)
                frame = packet_frame(number, time, octets, packet.mark, packet.indev)
                self._arrivals.append((frame, packet))
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
        return packet_time(round(packet.get_timestamp() * 1_000_000) * 1000, self._now)


class _Messages:
    """What ``NetfilterQueue.run_socket`` reads from, as if it were a socket."""

    def __init__(self, messages: list[bytes]) -> None:
        self._left = iter(messages)

    def recv(self, _size: int) -> bytes:
        """The next message; the size asked for is the library's 4096 and is not heeded."""
        for message in self._left:
            return message
        raise BlockingIOError(errno.EAGAIN, "no more messages")

"""Many datagrams by one system call (recvmmsg(2)), which Python's socket module does not have."""

import ctypes
import errno
import mmap
import os
import socket
from typing import ClassVar

SLOT = 68 * 1024
"""Octets that one datagram may have: a whole packet with all the attributes around it."""
MANY = 64
"""Most datagrams of one call."""

_NOT_WAITING = int(socket.MSG_DONTWAIT)
_recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg


class _Place(ctypes.Structure):
    """struct iovec."""

    _fields_: ClassVar = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_: ClassVar = [
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint),
        ("places", ctypes.POINTER(_Place)),
        ("number", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Datagram(ctypes.Structure):
    """struct mmsghdr."""

    _fields_: ClassVar = [("header", _Header), ("length", ctypes.c_uint)]


class Receiver:
    """Reads datagrams of a socket, up to ``MANY`` at a time."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        # Pages that no datagram reached take no memory.
        self._octets = mmap.mmap(-1, SLOT * MANY)
        self._starts = range(0, SLOT * MANY, SLOT)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._octets))
        self._places = (_Place * MANY)(*(_Place(base + start, SLOT) for start in self._starts))
        self._datagrams = (_Datagram * MANY)()
        for datagram, place in zip(self._datagrams, self._places, strict=True):
            datagram.header.places, datagram.header.number = ctypes.pointer(place), 1
        words = memoryview(self._datagrams).cast("B").cast("I")
        size = ctypes.sizeof(ctypes.c_uint)
        self._lengths = words[_Datagram.length.offset // size :: ctypes.sizeof(_Datagram) // size]

    def receive(self, limit: int) -> list[bytes]:
        """The datagrams that wait, at most ``limit`` of them, without waiting for more.

        Of one that is longer than ``SLOT`` the rest is lost.

        :raises OSError: the socket's error.
        """
        number = _recvmmsg(self._source.fileno(), self._datagrams, min(limit, MANY), _NOT_WAITING, None)
        if number < 0:
            error = ctypes.get_errno()
            if error == errno.EAGAIN:
                return []
            raise OSError(error, os.strerror(error))
        octets, lengths = self._octets, self._lengths[:number].tolist()
        return [octets[at : at + length] for at, length in zip(self._starts, lengths, strict=False)]

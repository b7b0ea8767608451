"""What the kernel's connection tracking knows of a connection (ctnetlink)."""

import socket
import struct

from monitor.wire.flow import Flow

_NETLINK_NETFILTER = 12
_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_REQUEST = 1
_NESTED = 0x8000
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS = 1, 2, 3
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_ASSURED = 1 << 2
_TCP = 6
_HEADER = struct.Struct("=IHHII")
_PATIENCE = 0.1
"""Seconds that the kernel may take to answer, which it does at once."""


def assured(flow: Flow) -> bool:
    """Whether a TCP connection has been set up by both its ends, so that its source is no forgery."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as asking:
            asking.settimeout(_PATIENCE)
            # A gateway may have changed the addresses: then this is the answer's tuple, seen from behind.
            return any(
                _status(asking, kind, each) & _ASSURED
                for kind, each in ((_TUPLE_ORIGINAL, flow), (_TUPLE_REPLY, flow.reversed()))
            )
    except OSError:
        return False


def _status(asking: socket.socket, kind: int, flow: Flow) -> int:
    """The status bits of the connection with this tuple, 0 where there is none."""
    ipv6 = len(flow.source) == 16
    addresses = _attribute(3 if ipv6 else 1, flow.source) + _attribute(4 if ipv6 else 2, flow.destination)
    protocol = _attribute(1, bytes((_TCP,)))
    protocol += _attribute(2, struct.pack(">H", flow.source_port))
    protocol += _attribute(3, struct.pack(">H", flow.destination_port))
    found = _attribute(_TUPLE_IP | _NESTED, addresses) + _attribute(_TUPLE_PROTOCOL | _NESTED, protocol)
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    body = struct.pack(">BBH", family, 0, 0) + _attribute(kind | _NESTED, found)
    asking.send(_HEADER.pack(_HEADER.size + len(body), _GET, _REQUEST, 0, 0) + body)
    answer = asking.recv(1 << 16)
    length, message, *_ = _HEADER.unpack_from(answer)
    if message != _GET & ~1:
        return 0
    at = _HEADER.size + 4
    while at + 4 <= min(length, len(answer)):
        size, name = struct.unpack_from("=HH", answer, at)
        if name & 0x3FFF == _STATUS:
            return int.from_bytes(answer[at + 4 : at + 8])
        at += max(4, size + 3 & ~3)
    return 0


def _attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four octets."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

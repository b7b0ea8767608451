"""Netlink messages of netfilter queues, as octets (netlink(7), linux/netfilter/nfnetlink_queue.h)."""

import struct
import sys
from dataclasses import dataclass

NETFILTER = 12
"""The protocol of the socket (NETLINK_NETFILTER)."""
COPY_NONE, COPY_PACKET = 0, 2
FAIL_OPEN, GSO = 1, 4
"""Flags of a queue (NFQA_CFG_F_)."""
DROP, ACCEPT = 0, 1
"""Verdicts (NF_)."""
COPY_RANGE = 0xFFFF - 4
"""Octets of a packet that one netlink attribute holds: longer packets are truncated."""

_PACKET, _VERDICT, _CONFIG = 3 << 8, 3 << 8 | 1, 3 << 8 | 2  # NFNL_SUBSYS_QUEUE, NFQNL_MSG_
_ERROR = 2  # NLMSG_ERROR, an acknowledgment when its code is 0
_REQUEST, _ACKNOWLEDGE = 1, 4  # NLM_F_
_CFG_CMD, _CFG_PARAMS, _CFG_MAXLEN, _CFG_MASK, _CFG_FLAGS = 1, 2, 3, 4, 5  # NFQA_CFG_
_BIND = 1
_PACKET_HDR, _VERDICT_HDR, _MARK, _TIMESTAMP, _INDEV, _PAYLOAD = 1, 2, 3, 4, 5, 10  # NFQA_

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_FIRST = _HEADER.size + 4
"""Where the attributes begin, behind the header of nfnetlink."""
_TIME = struct.Struct(">QQ")
_VALUES = {_PACKET_HDR: 7, _MARK: 4, _TIMESTAMP: _TIME.size, _INDEV: 4}
"""Octets of those attributes' values that are read here."""
_length = int.from_bytes


class NetlinkError(Exception):
    """A message that is not what it says it is."""


def bind() -> bytes:
    """The attribute that makes a queue the socket's own."""
    return _attribute(_CFG_CMD, struct.pack(">BxH", _BIND, 0))


def limits(length: int, flags: int) -> bytes:
    """The attributes that set how many packets may wait, and all flags."""
    values = (_CFG_MAXLEN, length), (_CFG_MASK, FAIL_OPEN | GSO), (_CFG_FLAGS, flags)
    return b"".join(_attribute(kind, struct.pack(">I", value)) for kind, value in values)


def copying(mode: int) -> bytes:
    """The attribute that sets what is copied of packets; while nothing is, packets are dropped."""
    return _attribute(_CFG_PARAMS, struct.pack(">IB", COPY_RANGE, mode))


def configuration(number: int, sequence: int, attributes: bytes) -> bytes:
    """A message that configures queue ``number`` and asks for an acknowledgment of ``sequence``."""
    return _message(_CONFIG, _REQUEST | _ACKNOWLEDGE, sequence, number, attributes)


def acknowledgment(message: bytes) -> tuple[int, int] | None:
    """Sequence number and error (errno, 0 for none) of what is acknowledged; None: it is something else."""
    if len(message) < _HEADER.size + 4:
        return None
    _, kind, _, sequence, _ = _HEADER.unpack_from(message)
    return (sequence, -struct.unpack_from("=i", message, _HEADER.size)[0]) if kind == _ERROR else None


def verdict(number: int, kind: int, packet: bytes, payload: bytes | None = None) -> bytes:
    """A verdict on one packet of queue ``number``.

    :param packet: its identifier, four octets. They end the message where there is no ``payload``, so
        that ``verdicts`` need not make each message anew.
    :param payload: what the packet goes on with, if not with what it came with.
    """
    changed = _attribute(_PAYLOAD, payload) if payload is not None else b""
    return _message(
        _VERDICT, _REQUEST, 0, number, changed + _attribute(_VERDICT_HDR, struct.pack(">I", kind) + packet)
    )


def is_whole(octets: bytes) -> bool:
    """Whether netlink messages (netlink(7)) take up all of ``octets``."""
    # One message that fills what was read: so it nearly always is.
    if _length(octets[:4], sys.byteorder) == len(octets) > _HEADER.size:
        return True
    at = end = 0
    while at + _HEADER.size <= len(octets):
        length = _length(octets[at : at + 4], sys.byteorder)
        if length < _HEADER.size:
            return False
        end = at + length
        at = end + -end % 4
    return 0 < end <= len(octets) <= at


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in messages whose attributes are of the same kinds and sizes.

    The kernel lays out nearly all of its packets alike, and the packet itself comes last. So one
    comparison with a message whose attributes were walked over stands for another walk.
    """

    identifier: slice
    payload: slice
    mark: int
    """Where the value is; 0: there is none."""
    interface: int
    stamp: int
    _header: slice
    _mask: int
    """Ones where messages of this layout are equal, and in both lengths."""
    _equal: int
    """What is there, less what the message's octets add to its lengths."""
    _octet: int
    """What an octet more adds to both lengths."""

    def fits(self, message: bytes) -> bool:
        """Whether a message is a whole packet of this layout."""
        header = int.from_bytes(message[self._header], sys.byteorder)
        return header & self._mask == self._equal + len(message) * self._octet

    def mark_of(self, message: bytes) -> int:
        """The packet mark, 0 where there is none."""
        return int.from_bytes(message[self.mark : self.mark + 4]) if self.mark else 0

    def interface_of(self, message: bytes) -> int:
        """The index of the interface it came in by, 0 where there is none."""
        return int.from_bytes(message[self.interface : self.interface + 4]) if self.interface else 0

    def stamp_of(self, message: bytes) -> int:
        """When it came (nanoseconds since the epoch), 0 where the kernel does not say."""
        if not self.stamp:
            return 0
        seconds, microseconds = _TIME.unpack_from(message, self.stamp)
        return int(seconds * 1_000_000 + microseconds) * 1000


def layout_of(message: bytes) -> Layout | None:
    """The layout of a message that fits it; None: it is no packet.

    :raises NetlinkError: lengths that do not agree, or no packet in it.
    """
    size = len(message)
    if size <= _HEADER.size or _length(message[:4], sys.byteorder) != size:
        raise NetlinkError("the length of the message is not that of what was read")
    if _HEADER.unpack_from(message)[1] != _PACKET:
        return None
    mask, octet = bytearray(_FIRST), bytearray(_FIRST)
    mask[:6] = b"\xff" * 6  # length and type
    octet[:4] = struct.pack("=I", 1)
    found: dict[int, int] = {}
    at = _FIRST
    while at + _ATTRIBUTE.size <= size:
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        value = at + _ATTRIBUTE.size
        if length < _ATTRIBUTE.size + _VALUES.get(kind, 0) or at + length > size:
            raise NetlinkError("an attribute that is too short, or longer than the message")
        mask += b"\xff" * _ATTRIBUTE.size
        if kind == _PAYLOAD:
            octet += _ATTRIBUTE.pack(1, 0)
            return _layout(message, value, found, mask, octet)
        found.setdefault(kind, value)
        at += length + -length % 4
        mask += bytes(at - value)
        octet += bytes(at - len(octet))
    raise NetlinkError("no packet in the message")


def _layout(message: bytes, payload: int, found: dict[int, int], mask: bytearray, octet: bytearray) -> Layout:
    end = payload + _length(message[payload - 4 : payload - 2], sys.byteorder) - _ATTRIBUTE.size
    if end != len(message) or _PACKET_HDR not in found:
        raise NetlinkError("the packet is not the last attribute, or has no identifier")
    header, ones, more = (_length(octets, sys.byteorder) for octets in (message[:payload], mask, octet))
    return Layout(
        slice(found[_PACKET_HDR], found[_PACKET_HDR] + 4),
        slice(payload, None),
        found.get(_MARK, 0),
        found.get(_INDEV, 0),
        found.get(_TIMESTAMP, 0),
        slice(payload),
        ones,
        (header & ones) - len(message) * more,
        more,
    )


def _message(kind: int, flags: int, sequence: int, number: int, attributes: bytes) -> bytes:
    size = _FIRST + len(attributes)
    return _HEADER.pack(size, kind, flags, sequence, 0) + struct.pack(">BBH", 0, 0, number) + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four octets."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)

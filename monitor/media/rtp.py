"""RTP headers (RFC 3550 §5.1), and the packet index behind their sequence numbers (RFC 3711 §3.3.1)."""

from struct import Struct
from typing import NamedTuple

_RTCP_TYPES = range(192, 224)
"""Second octets that stand for RTCP where it shares a port with RTP (RFC 5761 §4)."""
_HEADER = Struct("!BBHII").unpack_from


class RtpHeader(NamedTuple):
    """What of an RTP header tells packets apart."""

    sequence: int
    ssrc: int
    length: int
    """Octets of the header, contributing sources and extension included: what SRTP leaves in the clear."""


def read(payload: bytes) -> RtpHeader | None:
    """The header of what may be an RTP packet, None where it is none."""
    if len(payload) < 12 or payload[0] >> 6 != 2 or payload[1] in _RTCP_TYPES:
        return None
    first, _, sequence, _, ssrc = _HEADER(payload)
    length = 12 + 4 * (first & 0x0F)
    if first & 0x10:
        length += 4 + 4 * int.from_bytes(payload[length + 2 : length + 4])
    return RtpHeader(sequence, ssrc, length) if length <= len(payload) else None


def packet_index(sequence: int, highest: int) -> int:
    """The index 2^16·ROC + SEQ that a sequence number stands for, next to the highest index seen so far."""
    rollovers, last = divmod(highest, 1 << 16)
    if last < 1 << 15:
        if sequence - last > 1 << 15 and rollovers:
            rollovers -= 1
    elif last - (1 << 15) > sequence:
        rollovers += 1
    return rollovers << 16 | sequence

"""The fast path for what is plainly no SIP: most packets are media, and one look at them is enough."""

import re

from monitor.sip.framing import FIRST_OCTETS
from monitor.wire.frame import Frame
from monitor.wire.link import ETHERNET, RAW
from monitor.wire.tunnel import GTP_U_PORT

_OTHER = rb"[^" + re.escape(bytes(sorted(FIRST_OCTETS))) + rb"]"
_NO_TUNNEL = b"(?!" + re.escape(GTP_U_PORT.to_bytes(2)) + b").."
_UDP = _NO_TUNNEL + _NO_TUNNEL + b"...." + _OTHER
_IPV4 = rb"\x45.{5}[\x00\x40]\x00.\x11.{10}" + _UDP
"""No options, no fragment (RFC 791 §3.1), protocol 17."""
_IPV6 = rb"[\x60-\x6f].{5}\x11.{33}" + _UDP
"""No extension headers (RFC 8200 §3), next header 17."""
_RAW = re.compile(b"(?:" + _IPV4 + b"|" + _IPV6 + b")", re.DOTALL)
_ETHERNET = re.compile(rb".{12}(?:\x08\x00" + _IPV4 + rb"|\x86\xdd" + _IPV6 + rb")", re.DOTALL)

packet_passes = _RAW.match
"""The same of an IP packet's octets, before anything is made of them; what it gives is true or false."""


def plainly_not_sip(frame: Frame) -> bool:
    """Whether a frame is one whole UDP datagram outside any tunnel whose first octet no SIP stack would take.

    False says nothing: then the decoder looks.
    """
    if frame.link == RAW:
        return _RAW.match(frame.data) is not None
    return frame.link == ETHERNET and _ETHERNET.match(frame.data) is not None

"""The effective source: whose packet it is, behind relays that are trusted to tell."""

from collections.abc import Sequence

from monitor.sip.message import Via
from monitor.wire import address


def effective_source(packet_address: bytes, vias: Sequence[Via], relays: frozenset[bytes]) -> bytes:
    """The source of a request (packed); given where a response goes, that of the request it answers.

    Each trusted relay vouches for the hop before it, whose Via it completed on receipt (RFC 3261 §18.2.1):
    ``received`` where it wrote one, else the sent-by that it found right. The walk ends at the first hop
    that is no relay, or that is named so that no address can be read.
    """
    source = packet_address
    for via in vias[1:]:
        if source not in relays:
            break
        try:
            source = address.pack(via.received or via.host)
        except ValueError:
            break
    return source

"""Sends responses from addresses that are not its own: those that the requests went to.

A server of this host may have the port, or another host the address. So each socket is bound to the port at
an address that nobody uses, where it gets nothing that is meant for others, and names the source of what it
sends (IP_PKTINFO), which IP_TRANSPARENT lets it do with any address. CAP_NET_ADMIN is enough for that.
"""

import errno
import logging
import socket
import struct
from collections import OrderedDict

from monitor.enforce.respond import Response
from monitor.wire import address

log = logging.getLogger("monitor")

MAX_SOCKETS = 32
"""Sockets kept open, one for each port and family; the one longest unused is closed first."""

_NOBODY = {socket.AF_INET: "127.83.73.80", socket.AF_INET6: "100::5349:50"}
"""Of the loopback network, and of the discard prefix (RFC 6666)."""
_IP_PKTINFO = 8
_IP_TRANSPARENT = 19
_IPV6_TRANSPARENT = 75


class Responder:
    """Its sockets are made when they are first needed."""

    def __init__(self) -> None:
        self._sockets: OrderedDict[tuple[socket.AddressFamily, int], socket.socket] = OrderedDict()
        self._told = False

    def send(self, response: Response) -> bool:
        """Send one response; False where that cannot be done, which is logged the first time."""
        source, port = response.source
        family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
        if family == socket.AF_INET:
            information = (socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4s", 0, source, bytes(4)))
        else:
            information = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", source, 0))
        destination = (address.text(response.destination[0]), response.destination[1])
        try:
            sender = self._socket(family, port)
            sender.sendmsg([response.octets], [information], socket.MSG_DONTWAIT, destination)
        except OSError as error:
            if not self._told:
                self._told = True
                # The kernel's word for what IPAddressDeny= keeps back.
                mend = ": the unit wants IPAddressAllow= of the callers" if error.errno == errno.EPERM else ""
                log.warning("a response cannot be sent: %s%s (told once)", error.strerror, mend)
            return False
        return True

    def close(self) -> None:
        """Close its sockets."""
        while self._sockets:
            self._sockets.popitem()[1].close()

    def _socket(self, family: socket.AddressFamily, port: int) -> socket.socket:
        made = self._sockets.pop((family, port), None) or _bound(family, port)
        self._sockets[family, port] = made
        if len(self._sockets) > MAX_SOCKETS:
            self._sockets.popitem(last=False)[1].close()
        return made


def _bound(family: socket.AddressFamily, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        try:
            made.bind((_NOBODY[family], port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # The server has the port at every address, and shares it with nobody: then from another port.
            made.bind((_NOBODY[family], 0))
    except OSError:
        made.close()
        raise
    return made

"""A caller, a called, and the gateway between them, which has the kernel rules."""

import socket
from typing import Literal

from namespaces import Host, Network

from monitor.enforce.ruleset import Family

Way = Literal["input", "forward"]
"""To the gateway itself, or through it."""


class Route:
    """Bob reaches Alice through a gateway, which has the rules; he can talk to the gateway itself as well."""

    def __init__(self, network: Network) -> None:
        self.bob, self.gateway, self.alice = (network.host(name) for name in ("bob", "gateway", "alice"))
        write(self.gateway, 1, "ipv4/ip_forward", "ipv6/conf/all/forwarding")
        write(self.gateway, 0, "ipv4/conf/all/send_redirects", "ipv4/conf/eth0/send_redirects")
        write(self.bob, 0, "ipv6/conf/all/accept_redirects", "ipv6/conf/eth0/accept_redirects")
        for one, other in ((self.bob, self.alice), (self.alice, self.bob)):
            one.run("ip", "route", "add", f"{other.address}/32", "via", self.gateway.address)
            one.run("ip", "-6", "route", "add", f"{other.address6}/128", "via", self.gateway.address6)

    def end(self, way: Way) -> Host:
        """Who is called."""
        return self.gateway if way == "input" else self.alice

    def apply(self, rules: str, family: Family) -> None:
        """Put a rule set in force as text."""
        program = "iptables-restore" if family == 4 else "ip6tables-restore"
        self.gateway.run("sh", "-c", f"{program} --noflush <<'END'\n{rules}END")

    def datagram(self, way: Way, family: Family, payload: bytes, port: int = 5060) -> socket.socket:
        """Send a datagram to ``port`` of the called; what comes back is the socket where it should arrive."""
        called = self.end(way)
        receiver = called.socket(port=port, ipv6=family == 6)
        with self.bob.socket(ipv6=family == 6) as sender:
            sender.sendto(payload, (called.address6 if family == 6 else called.address, port))
        return receiver


def write(host: Host, value: int, *settings: str) -> None:
    """Set kernel settings under /proc/sys/net."""
    host.run("sh", "-c", "; ".join(f"echo {value} > /proc/sys/net/{setting}" for setting in settings))

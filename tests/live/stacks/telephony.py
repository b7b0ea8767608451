"""Callers, a proxy and those called, each a host, with monitors on the way between them.

Bob reaches the proxy through ``front`` and ``gateway``, Alice and Carol through ``gateway`` alone; so the
front sees one side of the proxy and the gateway both. Alice and Carol have monitors of their own, and Carol's
knows the proxy.
"""

import base64
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baresip import Baresip
from daemon import KEYS, Daemon
from kamailio import PORT, Kamailio
from namespaces import Host, Network
from parts import register
from plays import Play
from sipp import Sipp, Transport

from monitor.simulate import body, keyring, sdp
from monitor.simulate.party import ALICE, BOB, Party
from monitor.simulate.stage import Setting, Stage

PORTS = range(5100, 5400, 2)
"""Of the phones; baresip takes the next one for TLS."""
SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM")


@dataclass(frozen=True)
class Reach:
    """How the two ends of a call reach the proxy."""

    caller: Transport
    callee: Transport
    caller_ipv6: bool = False
    callee_ipv6: bool = False
    hosts: tuple[str, str, str] = ("bob", "alice", "carol")
    """Who calls, who is called, and who else is."""

    def __str__(self) -> str:
        sides = ((self.caller, self.caller_ipv6), (self.callee, self.callee_ipv6))
        return "-".join((self.hosts[0], *(f"{transport}{6 if ipv6 else 4}" for transport, ipv6 in sides)))


REACHES = (
    Reach("udp", "udp"),
    Reach("tcp", "tcp", hosts=("bob", "carol", "alice")),
    Reach("udp", "udp", True, True, ("bob", "carol", "alice")),
    Reach("tcp", "tcp", True, True),
    Reach("udp", "tcp", False, True),
    Reach("udp", "udp", hosts=("alice", "bob", "carol")),
    Reach("tcp", "udp", hosts=("carol", "bob", "alice")),
)


@dataclass(frozen=True)
class Bill:
    """Calls of one kind to be made."""

    play: Play
    reach: Reach
    count: int

    @property
    def user(self) -> str:
        """Who is called."""
        return f"{self.play.name}-{self.reach}"


class Telephony:
    """The hosts, the proxy, and the monitors, which record what they see."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.folder = network, folder
        names = ("bob", "front", "gateway", "proxy", "alice", "carol", "charles")
        self.hosts = {name: network.host(name) for name in names}
        self.bob, self.front, self.gateway, self.proxy, self.alice, self.carol, self.charles = (
            self.hosts.values()
        )
        for host in self.hosts.values():
            _set(host, 0, "ipv4/conf/all/send_redirects", "ipv4/conf/eth0/send_redirects")
            _set(host, 0, "ipv4/conf/all/accept_redirects", "ipv6/conf/eth0/accept_redirects")
        for router in (self.front, self.gateway):
            _set(router, 1, "ipv4/ip_forward", "ipv6/conf/all/forwarding")
        for source, target, router in (
            (self.bob, self.proxy, self.front),
            (self.front, self.proxy, self.gateway),
            (self.gateway, self.bob, self.front),
            (self.proxy, self.bob, self.gateway),
            *((self.proxy, phone, self.gateway) for phone in (self.alice, self.carol, self.charles)),
            *((phone, self.proxy, self.gateway) for phone in (self.alice, self.carol, self.charles)),
        ):
            source.run("ip", "route", "add", f"{target.address}/32", "via", router.address)
            source.run("ip", "-6", "route", "add", f"{target.address6}/128", "via", router.address6)
        self.kamailio = Kamailio(self.proxy, self._made("kamailio"))
        relays = f'relays = ["{self.proxy.address}", "{self.proxy.address6}"]'
        watched = {
            "alice": ("all", ""),
            "carol": ("all", relays),
            "gateway": ("forward", relays),
            "front": ("forward", ""),
        }
        with ThreadPoolExecutor() as pool:
            started = pool.map(lambda name: self._monitor(name, *watched[name]), watched)
            self.monitors = dict(zip(watched, started, strict=True))
        setting = Setting(keyring.load(KEYS), seed=time.time_ns(), start=int(time.time()))
        self._stage = Stage(setting, "stacks")
        self._ports = {name: iter(PORTS) for name in names}
        self._sipp = self._made("sipp")
        self._phones: list[subprocess.Popen[Any]] = []

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _monitor(self, name: str, hook: str, policy: str) -> Daemon:
        host, folder = self.hosts[name], self._made(name)
        daemon = Daemon(host, folder, "--record", str(folder / "seen.pcap"), policy=policy)
        ports = f"{PORT},{PORTS.start}-{PORTS.stop}"
        host.run(sys.executable, "-m", "monitor", "rules", "apply", "--hook", hook, "--ports", ports)
        return daemon

    def begin(self, bills: Iterable[Bill]) -> list[Sipp]:
        """Begin calls, and give the runs of their callers."""
        bills = list(bills)
        bindings = [each for bill in bills for each in self._called(bill)]
        registration = Sipp(
            *(self.alice, self._sipp, "register", self._port("alice"), register(), bindings),
            calls=len(bindings), peer=self._at_proxy(),
        )  # fmt: skip
        assert registration.trouble() == []
        return [self._calling(bill) for bill in bills]

    def _called(self, bill: Bill) -> Iterator[str]:
        """Start those called, and give what they register."""
        reach = bill.reach
        for index, (name, part) in enumerate(zip(reach.hosts[1:], bill.play.callees, strict=False)):
            host, port = self.hosts[name], self._port(name)
            run = Sipp(
                *(host, self._sipp, f"{bill.user}-{name}", port, part.xml(), self._lines(bill, ALICE)),
                user=bill.user, transport=reach.callee, ipv6=reach.callee_ipv6, wait=part.wait,
            )  # fmt: skip
            self._phones.append(run.process)
            address = f"[{host.address6}]" if reach.callee_ipv6 else host.address
            yield f"{bill.user};{address}:{port};{reach.callee};0.{5 + index}"

    def _calling(self, bill: Bill) -> Sipp:
        reach, name = bill.reach, bill.reach.hosts[0]
        return Sipp(
            *(self.hosts[name], self._sipp, bill.user, self._port(name), bill.play.caller.xml()),
            self._lines(bill, BOB), user=bill.user, calls=bill.count,
            peer=self._at_proxy(reach.caller_ipv6), transport=reach.caller, ipv6=reach.caller_ipv6,
            wait=bill.play.caller.wait,
        )  # fmt: skip

    def _at_proxy(self, ipv6: bool = False) -> str:
        return f"[{self.proxy.address6}]:{PORT}" if ipv6 else f"{self.proxy.address}:{PORT}"

    def _port(self, host: str) -> int:
        """One that nobody has there."""
        return next(self._ports[host])

    def talk(self, reach: Reach) -> int:
        """Two calls of baresip, either of which holds and resumes, and ends one; how many they were."""
        one = self._phone(reach.hosts[0], str(reach), reach.caller, reach.caller_ipv6)
        other = self._phone(reach.hosts[1], str(reach), reach.callee, reach.callee_ipv6)
        for last in (one, other):
            one.call(other)
            for holder in (one, other):
                holder.hold()
                holder.resume()
            last.hang_up(one if last is other else other)
        return 2

    def _phone(self, host: str, reach: str, transport: Transport, ipv6: bool) -> Baresip:
        user, port = f"{host}-at-{reach}", self._port(host)
        phone = Baresip(
            self.hosts[host], self.folder / user, user, self._at_proxy(ipv6), port, transport, ipv6
        )
        self._phones.append(phone.process)
        return phone

    def hush(self) -> None:
        """End the phones and the proxy."""
        for process in self._phones:
            process.kill()  # A phone that ends as it likes would take leave of the proxy first.
            process.wait(20)
        self.kamailio.stop()

    def remove_rules(self, monitor: Daemon) -> None:
        """Let everything pass the monitor."""
        monitor.host.run(sys.executable, "-m", "monitor", "rules", "remove")

    def _lines(self, bill: Bill, party: Party) -> list[str]:
        """The fields of a party in each call."""
        if bill.play.name == "sealed":
            return [self._envelopes(party) for _ in range(bill.count)]
        keys = (sdp.Key.fresh(self._stage.rng, SUITES[each % len(SUITES)]) for each in range(bill.count))
        return [str(key).removeprefix("a=crypto:1 ") for key in keys]

    def _envelopes(self, party: Party) -> str:
        """Three envelopes of one key."""
        ends = ("bob", "alice") if party is BOB else ("alice", "bob")
        described = self._stage.describe(party)
        bodies = (body.sdp(each) for each in (described, described.direction("sendonly"), described))
        sealed = (body.blob_of(self._stage.sealed(each, *ends)) for each in bodies)
        return ";".join(base64.b64encode(each).decode() for each in sealed)


def _set(host: Host, value: int, *settings: str) -> None:
    """Set kernel settings under /proc/sys/net."""
    host.run("sh", "-c", "; ".join(f"echo {value} > /proc/sys/net/{setting}" for setting in settings))

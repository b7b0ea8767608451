"""The kernel rules that hand SIP to a netfilter queue, as text for nft and for iptables-restore."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Family = Literal[4, 6]
Hook = Literal["input", "forward", "output"]
PortRange = tuple[int, int]
"""First and last port, both included."""

TABLE = "replay_monitor"
"""Name of the nft table (family inet)."""
CHAIN = "REPLAY_MONITOR"
"""Name of the iptables chain, in the table ``security`` of each family."""
FAMILIES: tuple[Family, ...] = (4, 6)
NFT_SET: Mapping[Family, str] = {4: "blocked4", 6: "blocked6"}
"""Names of the block set's parts in the nft table."""
IPSET: Mapping[Family, str] = {4: "replay_monitor4", 6: "replay_monitor6"}
"""Their names as sets of ipset."""
MAX_BLOCKED = 65536
"""Sources in each of them."""

_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

_NFT_CARRIED = "meta l4proto { tcp, udp }"

_WHY = """\
Why the untracked rule comes first: looking at the connection state makes conntrack active, and with it the
reassembly of fragments before all other rules. Without it a forwarded datagram, and an IPv6 datagram to this
host, would come as fragments, of which only the first has ports to match. The rule's counter tells of packets
that somebody exempts (notrack). Those are reassembled all the same, unless they were exempted earlier than
priority -400: such fragments are queued one by one."""

_BLOCK = """\
The block set holds sources that keep sending replays. What they send to these ports is dropped before it is
queued. The monitor adds to it only if its configuration says so ([block])."""

_CLOSED = """\
While no monitor listens on the queue, these packets are dropped: nothing gets past unseen."""

_OPEN = """\
While no monitor listens on the queue, these packets pass (bypass): calls go on, replays come through, and the
keys used meanwhile are not remembered."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What is queued where. It stands after the operator's own filter: what that drops is not queued."""

    queues: tuple[int, int] = (0, 0)
    """First and last queue; the kernel spreads packets over them by the pair of addresses."""
    hooks: tuple[Hook, ...] = ("input", "forward")
    ports: tuple[PortRange, ...] = ((5060, 5060),)
    """Of either end. Sorted and disjoint, see ``parse_ports``; none at all means every port."""
    interface: str = ""
    """Only what comes in or, forwarded or sent, goes out there; empty for all."""
    bypass: bool = False
    """Whether packets pass while no monitor listens on the queue (fail open) or are dropped."""
    families: tuple[Family, ...] = (4, 6)
    ipset: bool = False
    """Whether iptables drops what comes from the block set, for which it needs ipset; nft always does."""

    def __post_init__(self) -> None:
        first, last = self.queues
        if not 0 <= first <= last <= 65535:
            raise ValueError(f"queues {first}:{last}: must be rising numbers from 0 to 65535")
        if self.interface and not _INTERFACE.fullmatch(self.interface):
            raise ValueError(f"{self.interface!r} cannot be the name of an interface")

    def nft(self) -> str:
        """The script for ``nft -f``, which replaces what an earlier one put there in one transaction."""
        lines = [
            "#!/usr/sbin/nft -f",
            *_comment(
                self._summary(self.families),
                f"Apply, again at will: nft -f FILE. Remove: nft delete table inet {TABLE}.",
                _WHY,
                _BLOCK,
                _OPEN if self.bypass else _CLOSED,
            ),
            "",
            f"table inet {TABLE}",
            f"delete table inet {TABLE}",
            "",
            f"table inet {TABLE} {{",
        ]
        for family in self.families:
            lines += [
                f"    set {NFT_SET[family]} {{",
                f"        type ipv{family}_addr",
                f"        size {MAX_BLOCKED}",
                # Of IPv6 it holds networks too.
                f"        flags {'timeout' if family == 4 else 'interval, timeout'}",
                "    }",
                "",
            ]
        lines += [
            "    chain blocked {",
            *(f"        {match} counter drop" for match in self._nft_matches()),
            "    }",
            "",
            "    chain sip {",
            *(f"        {rule}" for rule in self._nft_rules()),
            "    }",
        ]
        for hook in self.hooks:
            lines += [
                "",
                f"    chain {hook} {{",
                f"        type filter hook {hook} priority security; policy accept;",
                *(f"        {match}jump sip" for match in self._nft_jumps(hook)),
                "    }",
            ]
        return "\n".join([*lines, "}", ""])

    def _nft_rules(self) -> Iterator[str]:
        first, last = self.queues
        queue = f"counter queue num {first if first == last else f'{first}-{last}'}"
        if self.bypass:
            queue += " bypass"
        yield f'{_NFT_CARRIED} ct state untracked counter comment "keeps reassembly active"'
        for family in self.families:
            yield f"{'ip' if family == 4 else 'ip6'} saddr @{NFT_SET[family]} jump blocked"
        yield from (f"{match} {queue}" for match in self._nft_matches())

    def _nft_matches(self) -> Iterator[str]:
        """What tells SIP, or part of it, from everything else."""
        if not self.ports:
            yield _NFT_CARRIED
            return
        yield f"{_NFT_CARRIED} ip frag-off & 0x3fff != 0"
        yield f"{_NFT_CARRIED} exthdr frag exists"
        ports = ", ".join(_span(ports, "-") for ports in self.ports)
        for end in ("dport", "sport"):
            yield f"{_NFT_CARRIED} th {end} {{ {ports} }}"

    def _nft_jumps(self, hook: Hook) -> Iterator[str]:
        family = f"meta nfproto ipv{self.families[0]} " if len(self.families) == 1 else ""
        for way in self._ways(hook):
            yield f'{family}{way}ifname "{self.interface}" ' if self.interface else family

    def iptables(self, family: Family, replaced: tuple[str, ...] = ()) -> str:
        """The input for ``iptables-restore --noflush`` (``ip6tables-restore`` for family 6).

        :param replaced: jumps to the chain that stand already, as ``iptables-save`` prints them.
        """
        tool = _tool(family)
        jumps = [
            f"-I {hook.upper()} {number} {f'-{way} {self.interface} ' if self.interface else ''}-j {CHAIN}"
            for hook in self.hooks
            for number, way in enumerate(self._ways(hook), 1)
        ]
        lines = [
            *_comment(
                self._summary((family,)),
                f"Apply, once: {tool}-restore --noflush < FILE. 'replay-monitor rules apply' can be called "
                "again at will; 'replay-monitor rules remove' removes what either put there.",
                _WHY,
                *([f"{_BLOCK} Made first: ipset create {_ipset(family)}."] if self.ipset else []),
                _OPEN if self.bypass else _CLOSED,
            ),
            "*security",
            f":{CHAIN} - [0:0]",
            *_deleted(replaced),
            *jumps,
            *(f"-A {CHAIN} {rule}" for rule in self._iptables_rules(family)),
            "COMMIT",
            "",
        ]
        return "\n".join(lines)

    def _iptables_rules(self, family: Family) -> Iterator[str]:
        first, last = self.queues
        number = f"--queue-num {first}" if first == last else f"--queue-balance {first}:{last}"
        queue = f"-j NFQUEUE {number}{' --queue-bypass' if self.bypass else ''}"
        blocked = f"-m set --match-set {IPSET[family]} src -j DROP"
        for transport in ("udp", "tcp"):
            tracked = '-m conntrack --ctstate UNTRACKED -m comment --comment "keeps reassembly active"'
            yield f"-p {transport} {tracked}"
            for match in self._iptables_matches(family):
                if self.ipset:
                    yield f"-p {transport} {match}{blocked}"
                yield f"-p {transport} {match}{queue}"

    def _iptables_matches(self, family: Family) -> Iterator[str]:
        """What tells SIP, or part of it, from everything else of its transport."""
        if not self.ports:
            yield ""
            return
        yield "-f " if family == 4 else "-m ipv6header --header ipv6-frag --soft "
        for ports in self.ports:
            for end in ("dport", "sport"):
                yield f"--{end} {_span(ports, ':')} "

    def _ways(self, hook: Hook) -> str:
        """A letter for each jump of a hook: the way, in or out, in which the interface is looked at."""
        return {"input": "i", "forward": "io", "output": "o"}[hook] if self.interface else "-"

    def _summary(self, families: tuple[Family, ...]) -> str:
        first, last = self.queues
        queues = f"queue {first}" if first == last else f"queues {first} to {last}"
        protocols = " and ".join(f"IPv{family}" for family in families)
        ports = "port " + ", ".join(_span(ports, "-") for ports in self.ports) if self.ports else "all ports"
        place = f" at {self.interface}" if self.interface else ""
        return (
            f"Hands UDP and TCP over {protocols}, {ports}{place}, to netfilter {queues}, where "
            f"'replay-monitor run' rules on them. Hooks: {', '.join(self.hooks)}."
        )


def ipsets() -> str:
    """The input for ``ipset -exist restore`` that makes the block set."""
    return "".join(f"create {_ipset(family)}\n" for family in FAMILIES)


def iptables_removal(saved: str) -> str:
    """The input for ``iptables-restore --noflush`` that removes the chain and every jump to it.

    :param saved: what ``iptables-save -t security`` printed.
    :return: empty where the chain is not in it.
    """
    if f":{CHAIN} " not in saved:
        return ""
    return "\n".join(
        ["*security", *_deleted(iptables_jumps(saved)), f"-F {CHAIN}", f"-X {CHAIN}", "COMMIT", ""]
    )


def iptables_jumps(saved: str) -> tuple[str, ...]:
    """The rules that jump to the chain, as ``iptables-save -t security`` printed them."""
    return tuple(
        line for line in saved.splitlines() if line.startswith("-A ") and line.endswith(f"-j {CHAIN}")
    )


def parse_ports(text: str) -> tuple[PortRange, ...]:
    """``5060,5070-5080`` as sorted disjoint ranges; ``any`` as none at all.

    :raises ValueError: not a list of ports and ranges.
    """
    if text == "any":
        return ()
    ranges: list[PortRange] = []
    for item in sorted(_port_range(item) for item in text.split(",")):
        if ranges and item[0] <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], item[1]))
        else:
            ranges.append(item)
    return tuple(ranges)


def _port_range(text: str) -> PortRange:
    match = _PORTS.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a port or a range of ports")
    ports = int(match[1]), int(match[2] or match[1])
    if not 1 <= ports[0] <= ports[1] <= 65535:
        raise ValueError(f"{text!r}: ports rise and go from 1 to 65535")
    return ports


def _ipset(family: Family) -> str:
    kind = "hash:ip family inet" if family == 4 else "hash:net family inet6"
    return f"{IPSET[family]} {kind} maxelem {MAX_BLOCKED} timeout 0"


def _tool(family: Family) -> str:
    return "iptables" if family == 4 else "ip6tables"


def _span(numbers: tuple[int, int], sign: str) -> str:
    first, last = numbers
    return str(first) if first == last else f"{first}{sign}{last}"


def _deleted(rules: tuple[str, ...]) -> list[str]:
    return [rule.replace("-A ", "-D ", 1) for rule in rules]


def _comment(*paragraphs: str) -> Iterator[str]:
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield "#"
        yield from textwrap.wrap(paragraph, 100, initial_indent="# ", subsequent_indent="# ")

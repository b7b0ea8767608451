"""``replay-monitor rules``: the kernel rules that feed the queue."""

import argparse
import sys

from monitor.cli.helping import explain
from monitor.enforce import netfilter
from monitor.enforce.programs import NetfilterError
from monitor.enforce.ruleset import Family, Hook, Ruleset, parse_ports

_HOOKS: dict[str, tuple[Hook, ...]] = {
    "input": ("input",),
    "forward": ("forward",),
    "both": ("input", "forward"),
    "all": ("input", "forward", "output"),
}
_FAMILIES: dict[str, tuple[Family, ...]] = {"4": (4,), "6": (6,), "both": (4, 6)}

_DESCRIPTION = """\
Show, apply or remove the kernel rules that hand SIP to the netfilter queue of 'replay-monitor run'.

The rules have a table (nft) or chain (iptables) of their own, which stands after the other rules of the
firewall: what those drop is not queued. 'apply' replaces what it finds of its own in one transaction (one
for each IP version with iptables); 'remove' leaves nothing. The rules do not survive a reboot, nor the
'flush ruleset' of another script: call 'apply' again after those.
"""

_TEXT = """\
While the monitor is not running, packets that would be queued are dropped (--no-bypass, the default: no
call gets through, no replay does either) or pass (--bypass: calls go on, replays come through, and the
monitor will not know the keys used meanwhile). So start the monitor first, then apply the rules.

The rules make connection tracking active, since fragments are reassembled only then. Its table (sysctl
net.netfilter.nf_conntrack_max) must be large enough for all traffic of the machine.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = _DESCRIPTION
    explain(
        parser,
        "replay-monitor rules show",
        "sudo replay-monitor rules apply",
        "sudo replay-monitor rules apply --ports 5060,5080 --interface eth0 --bypass",
        "sudo replay-monitor rules remove",
        text=_TEXT,
    )
    parser.add_argument(
        "action", choices=("show", "apply", "remove"), help="print them, put them in place, take them away"
    )
    parser.add_argument(
        "--backend",
        choices=("nft", "iptables", "auto"),
        default="auto",
        help="auto: nft where the kernel can queue with it, else iptables; 'remove' looks at both (default)",
    )
    queues = parser.add_mutually_exclusive_group()
    queues.add_argument(
        "--queue", type=_queue, dest="queues", metavar="N", default=(0, 0), help="the queue (default 0)"
    )
    queues.add_argument(
        "--queues",
        type=_queues,
        metavar="N:M",
        help="spread packets over these queues by address pair; their monitors must share one store",
    )
    parser.add_argument(
        "--hook",
        choices=_HOOKS,
        default="both",
        help="packets to this host, through it, both (default), or all: what it sends itself as well",
    )
    parser.add_argument(
        "--ports",
        type=_ports,
        default=_ports("5060"),
        metavar="LIST",
        help="ports of either end, as in 5060,5070-5080 (default 5060); any: all UDP and TCP, media too",
    )
    parser.add_argument(
        "--interface", default="", metavar="IF", help="only packets that come in or go out there"
    )
    parser.add_argument(
        "--bypass",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="let packets pass unseen while no monitor runs; see below",
    )
    parser.add_argument(
        "--ipset",
        action="store_true",
        help="with iptables: also drop what comes from the block set (needs ipset); nft always does",
    )
    parser.add_argument("--family", choices=_FAMILIES, default="both", help="IP version (default both)")


def main(options: argparse.Namespace) -> int:
    """Exit status 0 if done, 2 if not."""
    try:
        rules = Ruleset(
            options.queues,
            _HOOKS[options.hook],
            options.ports,
            options.interface,
            options.bypass,
            _FAMILIES[options.family],
            options.ipset,
        )
        if options.action == "remove":
            _remove(options.backend)
        elif options.action == "apply":
            _apply(rules, options.backend)
        else:
            _show(rules, options.backend)
    except (ValueError, NetfilterError) as error:
        _say(str(error))
        return 2
    return 0


def _show(rules: Ruleset, backend: str) -> None:
    if backend == "auto":
        backend = _choose(rules)
    if backend == "nft":
        sys.stdout.write(rules.nft())
    else:
        sys.stdout.write("\n".join(rules.iptables(family) for family in rules.families))


def _apply(rules: Ruleset, backend: str) -> None:
    chosen: netfilter.Backend = (
        _choose(rules) if backend == "auto" else "nft" if backend == "nft" else "iptables"
    )
    netfilter.apply(rules, chosen)
    print(f"The rules stand ({chosen}).")
    first, last = rules.queues
    deaf = [str(number) for number in range(first, last + 1) if number not in netfilter.listeners()]
    if deaf:
        fate = "passes unseen" if rules.bypass else "is dropped"
        _say(f"nothing listens on queue {', '.join(deaf)} yet: SIP {fate} until 'replay-monitor run' does")
    for rule in netfilter.exemptions():
        _say(f"a rule exempts packets from connection tracking: {rule}")


def _remove(backend: str) -> None:
    wanted: netfilter.Backend | None = (
        None if backend == "auto" else "nft" if backend == "nft" else "iptables"
    )
    removed = netfilter.remove(wanted)
    print(f"The rules are removed ({', '.join(removed)})." if removed else "There were no rules to remove.")


def _choose(rules: Ruleset) -> netfilter.Backend:
    backend, why_not_nft = netfilter.choose(rules)
    if why_not_nft:
        _say(f"{why_not_nft}: using iptables")
    return backend


def _say(text: str) -> None:
    print(f"replay-monitor rules: {text}", file=sys.stderr)


def _queue(text: str) -> tuple[int, int]:
    return _queues(f"{text}:{text}")


def _queues(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    try:
        return int(first), int(last)
    except ValueError:
        raise argparse.ArgumentTypeError("queues are numbers from 0 to 65535, as in 0 or 0:3") from None


def _ports(text: str) -> tuple[tuple[int, int], ...]:
    try:
        return parse_ports(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None

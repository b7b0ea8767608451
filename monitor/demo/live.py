"""The story on real packets: three hosts, the kernel's queue and the daemon before one of them."""

import random
import select
import socket
from contextlib import ExitStack
from pathlib import Path

from monitor.antireplay.ruling import Verdict
from monitor.demo.daemon import PATIENCE, Daemon, await_that, command, environment
from monitor.demo.network import Network, NetworkError
from monitor.demo.telling import DemoError, Teller, octets
from monitor.simulate.call import Call
from monitor.simulate.message import Message
from monitor.simulate.party import ALICE, BOB, CHARLES, Party
from monitor.simulate.scenario import Scenario, Sent

FRAGMENT = 1480
"""Octets of a datagram in one fragment, by the hosts' MTU of 1500."""
LARGEST = 65535


class Stalls:
    """The parties' sockets, and the monitor between them."""

    def __init__(self, network: Network, folder: Path, keys: Path, stack: ExitStack) -> None:
        self._namespaces = {party.name: network.host(party) for party in (BOB, ALICE, CHARLES)}
        self._sockets = {
            party.name: network.socket(self._namespaces[party.name], party) for party in (BOB, ALICE, CHARLES)
        }
        self.daemon = Daemon(folder, self._namespaces[ALICE.name], keys)
        stack.callback(self.daemon.stop)

    def apply_rules(self) -> None:
        """Hand SIP to the queue in Alice's host, what she sends included.

        :raises DemoError: the kernel takes no such rules.
        """
        rules = command("rules", "apply", "--hook", "all")
        try:
            Network.execute(self._namespaces[ALICE.name], *rules, env=environment())
        except NetworkError as error:
            raise DemoError(f"the kernel rules: {error}") from None

    def send(self, message: Message) -> int:
        """Send a message as its source; how many octets."""
        to = (message.destination.address, message.destination.port)
        return self._sockets[message.source.name].sendto(message.octets(), to)

    def receive(self, party: Party) -> tuple[bytes, str]:
        """The next datagram at a party's socket, and where it comes from.

        :raises DemoError: there is none.
        """
        stall: socket.socket = self._sockets[party.name]
        if not select.select([stall], [], [], PATIENCE)[0]:
            raise DemoError(f"{party.name} receives nothing: {self.daemon.last_words()}")
        data, source = stall.recvfrom(LARGEST)
        return data, source[0]

    def expect(self, message: Message) -> None:
        """The next thing that the message's receiver gets must be it.

        :raises DemoError: it is not.
        """
        data, source = self.receive(message.destination)
        if (data, source) != (message.octets(), message.source.address):
            line = data.partition(b"\r\n")[0].decode(errors="replace")
            raise DemoError(
                f"{message.destination.name} should have received {message.start_line!r} from "
                f"{message.source.address}, and received {line!r} from {source}"
            )


def tell(scenario: Scenario, teller: Teller, folder: Path, keys: Path) -> None:
    """Tell the story.

    :param folder: for the monitor's files.
    :raises NetworkError: there are no namespaces here.
    :raises DemoError: it went otherwise.
    """
    with ExitStack() as stack:
        stalls = Stalls(Network(stack), folder, keys, stack)
        daemon = stalls.daemon
        daemon.start()
        stalls.apply_rules()
        teller.chapter("A call, and a recording of it")
        columns = []
        for before, sent in zip((None, *scenario.messages), scenario.messages, strict=False):
            if before is not None and before.run != sent.run:
                columns.append(daemon.counters())
                daemon.stop()
                daemon.start()
                teller.chapter("The monitor was stopped and started again")
            _play(stalls, sent, teller)
        columns.append(daemon.counters())
        _check(scenario, columns)
        daemon.stop()
        teller.counters(columns, ["before", "after"])


def _play(stalls: Stalls, sent: Sent, teller: Teller) -> None:
    """Send one message and see what comes of it."""
    message, reason = sent.message, sent.reason
    before = stalls.daemon.rulings(str(reason)) if reason is not None else 0
    size = stalls.send(message)
    if reason is not None and reason.verdict is Verdict.DENY:
        _await_ruling(stalls, sent, before)
        # What arrives behind it, from the same socket, shows that it did not.
        probe = Call(message.source, message.destination, random.Random(sent.frame)).request("OPTIONS")
        stalls.send(probe)
        stalls.expect(probe)
        teller.step(sent, "nothing arrived")
        return
    stalls.expect(message)
    if reason is not None:
        _await_ruling(stalls, sent, before)
    fragments = -(-(size + 8) // FRAGMENT)
    teller.step(
        sent, f"{octets(size)}, {fragments} fragments" if fragments > 1 else f"{octets(size)} arrived"
    )


def _await_ruling(stalls: Stalls, sent: Sent, before: float) -> None:
    reason = str(sent.reason)
    await_that(
        lambda: stalls.daemon.rulings(reason) > before,
        f"the ruling {reason} on {sent.message.start_line!r}",
    )


def _check(scenario: Scenario, columns: list[dict[str, float]]) -> None:
    """No ruling but those of the story, and nothing that could not be told for sure.

    :raises DemoError: there was.
    """
    for part, wanted in (("_rulings_", len(scenario.expected)), ("_exceptions_", len(scenario.exceptions))):
        found = sum(value for column in columns for name, value in column.items() if part in name)
        if found != wanted:
            raise DemoError(f"{found:g} {part.strip('_')}, where the story has {wanted}")

"""Three hosts on one switch, each in a network namespace of its own, removed when left."""

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from monitor.simulate.party import Party

CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")


class NetworkError(Exception):
    """Namespaces cannot be had here. One line."""


class Network:
    """The switch and the hosts. What they run, and their sockets, are others' to close first."""

    def __init__(self, stack: ExitStack) -> None:
        """:raises NetworkError: no namespaces here; what was made is removed by ``stack``."""
        if os.geteuid() != 0:
            raise NetworkError("not root")
        if shutil.which("ip") is None:
            raise NetworkError("the program ip is missing (Debian package iproute2)")
        self._stack = stack
        self._prefix = f"replay-demo-{os.getpid()}"
        self._switch = self._namespace("switch")
        self.execute(self._switch, "ip", "link", "add", "switch", "type", "bridge")
        self.execute(self._switch, "ip", "link", "set", "switch", "up")

    def host(self, party: Party) -> str:
        """A host for ``party``, at its address, on the switch; the name of its namespace.

        :raises NetworkError: it cannot be made.
        """
        name, port = self._namespace(party.user), f"to-{party.user}"
        _call(
            *("ip", "link", "add", "eth0", "netns", name, "type", "veth"),
            *("peer", "name", port, "netns", self._switch),
        )
        self.execute(self._switch, "ip", "link", "set", port, "master", "switch", "up")
        self.execute(name, "ip", "link", "set", "lo", "up")
        self.execute(name, "ip", "address", "add", f"{party.address}/24", "dev", "eth0")
        self.execute(name, "ip", "link", "set", "eth0", "up")
        return name

    def socket(self, namespace: str, party: Party) -> socket.socket:
        """A UDP socket of ``party`` in its namespace."""
        with entered(namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stack.enter_context(made)
        made.bind((party.address, party.port))
        return made

    @staticmethod
    def execute(namespace: str, *command: str, env: dict[str, str] | None = None) -> None:
        """Run a command in a namespace to its end.

        :raises NetworkError: it failed.
        """
        _call(*inside(namespace, *command), env=env)

    def _namespace(self, label: str) -> str:
        name = f"{self._prefix}-{label}"
        # First, since a failure may leave half of it.
        self._stack.callback(subprocess.run, ["ip", "netns", "delete", name], capture_output=True)
        _call("ip", "netns", "add", name)
        return name


def inside(namespace: str, *command: str) -> list[str]:
    """The command line that runs ``command`` in a namespace, under the process id that it is started with."""
    return ["ip", "netns", "exec", namespace, *command]


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """The calling thread is in the namespace; what it opens meanwhile stays there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter a network namespace")

    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    try:
        with (NAMESPACES / namespace).open("rb") as there:
            enter(there.fileno())
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def _call(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        said: Sequence[str] = (done.stderr or done.stdout).strip().splitlines() or ["failed"]
        raise NetworkError(f"{' '.join(command)}: {said[-1]}")

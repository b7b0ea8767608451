"""Network namespaces for tests: hosts on one switch, their processes and sockets, all removed at the end.

Nothing here touches the namespace of the test run: hosts have names of their own, and what a host runs
is stopped by process id. ``Host.entered`` moves the calling thread into a host for as long as it takes
to make a socket there, so most tests need no second process.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
RUN = Path("/run/netns")
SLOWNESS = int(os.environ.get("SLOWNESS", "1"))
"""How many times longer all may take here than elsewhere: on an emulated processor."""

_libc = ctypes.CDLL(None, use_errno=True)
_serial = count()


def unavailable() -> str | None:
    """Why network namespaces cannot be used here, None where they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "iptables", "ip6tables") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


class Host:
    """One namespace with the interface ``eth0``; addresses as text."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"10.66.0.{number}"
        self.address6 = f"fd66::{number:x}"
        self._processes: list[subprocess.Popen[Any]] = []

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in this namespace; what it opens meanwhile stays there."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        try:
            with (RUN / self.name).open("rb") as target:
                _enter(target.fileno())
            yield
        finally:
            _enter(home)
            os.close(home)

    def socket(
        self, kind: socket.SocketKind = socket.SOCK_DGRAM, *, port: int = 0, ipv6: bool = False
    ) -> socket.socket:
        """A socket of this host, bound to its address, with a timeout of five seconds."""
        with self.entered():
            made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(5 * SLOWNESS)
        made.bind((self.address6 if ipv6 else self.address, port))
        return made

    def run(self, *command: str, check: bool = True, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            capture_output=True, text=True, timeout=timeout * SLOWNESS,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done

    def start(self, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a process here; it is stopped with the host."""
        # ip replaces itself by the command, so the process id is the command's.
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *command], **options)
        self._processes.append(process)
        return process

    def until_bound(self, port: int, process: subprocess.Popen[Any], *, tcp: bool = False) -> None:
        """Wait until a process has a port here."""
        listening = ("ss", "-Hlnt" if tcp else "-Hlnu")
        wait_until(lambda: f":{port} " in self.run(*listening).stdout, f"port {port}", process=process)

    def queue(self, number: int, *matches: str, chain: str = "INPUT", bypass: bool = False) -> None:
        """Send what ``matches`` (iptables arguments) to a queue, IPv4 and IPv6, defragmented by conntrack."""
        target = ["-j", "NFQUEUE", "--queue-num", str(number), *(["--queue-bypass"] if bypass else [])]
        for program in ("iptables", "ip6tables"):
            tracked = ["-m", "conntrack", "--ctstate", "NEW,ESTABLISHED,RELATED,UNTRACKED,INVALID"]
            self.run(program, "-w", "-I", chain, *matches, *tracked, *target)

    def close(self) -> None:
        """Stop what was started here and remove the namespace."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        left = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        for pid in map(int, left.stdout.split()):
            if pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)


class Network:
    """Hosts on one switch."""

    def __init__(self, label: str = "monitor") -> None:
        # Names may be left of a run that was killed and had this process id.
        labels = (f"{label}-{os.getpid()}-{number}" for number in _serial)
        self._label = next(each for each in labels if not any(RUN.glob(f"{each}-*")))
        self._hosts: list[Host] = []
        self._switch = Host(f"{self._label}-switch", 0)
        _ip("netns", "add", self._switch.name)
        self._switch.run("ip", "link", "add", "switch", "type", "bridge")
        self._switch.run("ip", "link", "set", "switch", "up")

    def host(self, name: str) -> Host:
        """A new host on the switch, ready to talk in IPv4 and IPv6."""
        number = len(self._hosts) + 1
        host = Host(f"{self._label}-{name}", number)
        _ip("netns", "add", host.name)
        self._hosts.append(host)
        port = f"port{number}"
        peer = ("peer", port, "netns", self._switch.name)
        _ip("link", "add", "eth0", "netns", host.name, "type", "veth", *peer)
        self._switch.run("ip", "link", "set", port, "master", "switch", "up")
        host.run("ip", "link", "set", "lo", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "-6", "address", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        host.run("ip", "link", "set", "eth0", "up")
        return host

    @contextmanager
    def losing(self, percent: int, *hosts: Host) -> Iterator[None]:
        """Of the packets that go to ``hosts``, so many in a hundred get lost meanwhile, at random."""
        undo: list[tuple[Host, tuple[str, ...]]] = []
        for host in hosts:
            port = f"port{self._hosts.index(host) + 1}"
            netem = ("root", "netem", "loss", f"{percent}%")
            if self._switch.run("tc", "qdisc", "add", "dev", port, *netem, check=False).returncode == 0:
                undo.append((self._switch, ("tc", "qdisc", "delete", "dev", port, "root")))
                continue
            # A kernel without netem.
            for program in ("iptables", "ip6tables"):
                chance = ("--mode", "random", "--probability", str(percent / 100))
                rule = ("PREROUTING", "-m", "statistic", *chance, "-j", "DROP")
                host.run(program, "-w", "-t", "raw", "-I", *rule)
                undo.append((host, (program, "-w", "-t", "raw", "-D", *rule)))
        try:
            yield
        finally:
            for where, command in undo:
                where.run(*command)

    def close(self) -> None:
        """Remove all hosts and the switch."""
        for host in [*reversed(self._hosts), self._switch]:
            host.close()
        self._hosts.clear()


def wait_until(
    condition: Callable[[], object],
    what: str,
    timeout: float = 10,
    process: subprocess.Popen[Any] | None = None,
) -> None:
    """Wait until ``condition`` is true; fail, naming ``what``, after ``timeout`` or when ``process`` ends."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode} while waiting for {what}")
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(0.002)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

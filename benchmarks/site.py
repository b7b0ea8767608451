"""One network namespace in which a daemon rules on what a sender sends, all over its loopback interface."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Run, cpu_seconds, family
from monitor.demo.network import entered, inside

CALLEE = "10.0.0.1"
PORT = 5060
MEDIA_PORT, LIBRARY_PORT, BARE_PORT = 5072, 5074, 5070
"""For media. The senders' own port is 5060: to that one each packet would cost the kernel more."""
QUIET_PORT = 5080
"""A port that is not queued."""
QUEUE, BARE_QUEUE, LIBRARY_QUEUE = 0, 1, 2
QUEUES = {PORT: QUEUE, MEDIA_PORT: QUEUE, LIBRARY_PORT: LIBRARY_QUEUE, BARE_PORT: BARE_QUEUE}
WORKERS = max(1, (os.cpu_count() or 1) - 1)
"""Of the keyholder: a core is left for the daemon itself."""
Message = tuple[str, bytes]
"""A source address with the octets that it sends."""


class Site:
    """The namespace; all of 10.0.0.0/8 is in it. What it runs ends with it.

    :param blocks: have the rules that ``rules apply`` makes, with the block set, not the least there can be.
    """

    def __init__(self, blocks: bool) -> None:
        self.name = f"replay-bench-{os.getpid()}"
        self._processes: list[subprocess.Popen[Any]] = []
        self._sockets: dict[str, socket.socket] = {}
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.execute("ip", "link", "set", "lo", "up")
        self.execute("ip", "route", "add", "local", "10.0.0.0/8", "dev", "lo")
        if blocks:
            apply = ("rules", "apply", "--backend", "iptables", "--ipset", "--hook", "input")
            self.execute(sys.executable, "-m", "monitor", *apply)
            return
        for port, queue in QUEUES.items():
            rule = ("-p", "udp", "--dport", str(port), "-j", "NFQUEUE", "--queue-num", str(queue))
            self.execute("iptables", "-w", "-A", "INPUT", *rule)

    def execute(self, *command: str) -> None:
        """Run a command in it to its end."""
        subprocess.run(inside(self.name, *command), check=True, capture_output=True)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a process in it."""
        process = subprocess.Popen(inside(self.name, *command), text=True, **options)
        self._processes.append(process)
        return process

    def python(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python program in it, which says ``ready`` when it is."""
        process = self.start(sys.executable, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(arguments)} does not start")
        return process

    def daemon(
        self, folder: Path, durability: str = "process", keys: Path | None = None, more: str = ""
    ) -> int:
        """Start a daemon; its process id once it rules."""
        folder.mkdir(mode=0o700)
        config = folder / "monitor.toml"
        config.write_text(
            f'[store]\nurl = "sqlite:///{folder}/associations.db"\ndurability = "{durability}"\n'
            f'[secret]\nfile = "{folder}/secret"\n[control]\nsocket = "{folder}/control"\n'
            f"[queue]\nlength = 65536\n{more}"
            + (f'[keys]\ndirectory = "{keys}"\nworkers = {WORKERS}\n' if keys else "")
        )
        with (folder / "log.txt").open("w") as log, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(folder / "notify"))
            told.settimeout(30)
            process = self.start(
                *(sys.executable, "-m", "monitor", "run", "--config", str(config)),
                env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
                stderr=log,
            )
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
            except TimeoutError:
                raise RuntimeError(f"no daemon: {(folder / 'log.txt').read_text()}") from None
        return process.pid

    def end(self, process: int) -> None:
        """End a process that was started here."""
        for each in self._processes:
            if each.pid == process and each.poll() is None:
                each.send_signal(signal.SIGCONT)
                each.terminate()
                try:
                    each.wait(20)
                except subprocess.TimeoutExpired:
                    # It rules on what is queued first, which after a flood takes long.
                    each.kill()
                    each.wait()

    def send(self, messages: Sequence[Message], port: int = PORT) -> None:
        """Send datagrams as fast as that goes."""
        for source, octets in messages:
            self.socket(source).sendto(octets, (CALLEE, port))

    def socket(self, source: str) -> socket.socket:
        """The socket of one source."""
        made = self._sockets.get(source)
        if made is None:
            with entered(self.name):
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((source, 5060 if source != CALLEE else 0))
            self._sockets[source] = made
        return made

    def waiting(self, process: int, queue: int) -> tuple[int, int]:
        """Packets of a queue that wait for a verdict, and those that were lost."""
        for line in Path(f"/proc/{process}/net/netfilter/nfnetlink_queue").read_text().splitlines():
            fields = line.split()
            if int(fields[0]) == queue:
                return int(fields[2]), int(fields[5]) + int(fields[6])
        return 0, 0

    def drain(self, process: int, messages: Sequence[Message], port: int = PORT) -> Run:
        """Let messages wait while the process is stopped, then see how long it takes over them.

        :raises RuntimeError: not all of them came to wait.
        """
        os.kill(process, signal.SIGSTOP)
        queue = QUEUES[port]
        lost = self.waiting(process, queue)[1]
        self.send(messages, port)
        there, after = self.waiting(process, queue)
        if there != len(messages) or after != lost:
            raise RuntimeError(f"{there} of {len(messages)} packets wait, {after - lost} were lost")
        workers = family(process)
        before, began = cpu_seconds(workers), time.perf_counter()
        os.kill(process, signal.SIGCONT)
        until(lambda: self.waiting(process, queue)[0] == 0, 60)
        wall = time.perf_counter() - began
        return Run(len(messages), wall, cpu_seconds(workers) - before)

    def close(self) -> None:
        """End what runs, and remove the namespace."""
        for made in self._sockets.values():
            made.close()
        for process in self._processes:
            self.end(process.pid)
        subprocess.run(["ip", "netns", "delete", self.name], check=False)


@contextmanager
def site(blocks: bool = False) -> Iterator[Site]:
    """A site, removed when left."""
    made = Site(blocks)
    try:
        yield made
    finally:
        made.close()


def until(condition: Callable[[], bool], patience: float) -> None:
    """Wait for a condition.

    :raises RuntimeError: it does not come about.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("what is measured does not end")
        time.sleep(0.0005)

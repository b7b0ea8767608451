"""The monitor as the demonstration runs it: the real daemon, in one host's namespace."""

import http.client
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import monitor
from monitor.demo.network import entered, inside
from monitor.demo.telling import DemoError

PATIENCE = 20.0
"""Seconds after which something that should have happened will not."""
PORT = 9464
SHOWN = (
    "replay_monitor_packets_total",
    "replay_monitor_packet_verdicts_total",
    "replay_monitor_messages_total",
    "replay_monitor_rulings_total",
    "replay_monitor_exceptions_total",
    "replay_monitor_alerts_total",
)
"""The metrics that the demonstration ends with, where there is something to tell."""
HIDDEN = ("policy", "enforced")
"""Labels that say the same throughout the demonstration."""


def command(*arguments: str) -> list[str]:
    """The command line of this program's own commands."""
    return [sys.executable, "-m", "monitor", *arguments]


def environment() -> dict[str, str]:
    """The environment in which ``command`` finds this very package."""
    return {**os.environ, "PYTHONPATH": str(Path(monitor.__file__).resolve().parents[1])}


class Daemon:
    """``replay-monitor run`` with its files in one folder, which outlast it."""

    def __init__(self, folder: Path, namespace: str, keys: Path) -> None:
        self._folder, self._namespace = folder, namespace
        self._log = folder / "log"
        self._config = folder / "monitor.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self._config.write_text(
            f"""\
[keys]
directory = "{keys}"
trust = "{keys / "ca.pem"}"

[store]
url = "sqlite://{folder / "associations.db"}"

[secret]
file = "{folder / "secret"}"

[metrics]
listen = "127.0.0.1:{PORT}"
"""
        )

    def start(self) -> None:
        """Start it, and wait until it says that it is ready.

        :raises DemoError: it does not get ready.
        """
        address = self._folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            address.unlink(missing_ok=True)
            notify.bind(str(address))
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    inside(self._namespace, *command("run", "--config", str(self._config))),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**environment(), "NOTIFY_SOCKET": str(address)},
                    # Ctrl-C is for the demonstration, which then stops it by its id.
                    start_new_session=True,
                )
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    break
                if select.select([notify], [], [], 0.1)[0] and b"READY=1" in notify.recv(4096):
                    return
        raise DemoError(f"the monitor does not start: {self.last_words()}")

    def stop(self) -> None:
        """Ask it to end, and see that it does; nothing where it does not run.

        :raises DemoError: it does not end as it should.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise DemoError("the monitor does not end when asked to") from None
        if status:
            raise DemoError(f"the monitor ended with status {status}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    def counters(self) -> dict[str, float]:
        """The counters of ``/metrics``, by name and labels.

        :raises DemoError: they cannot be read.
        """
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
        try:
            with entered(self._namespace):
                connection.connect()
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"/metrics cannot be read: {error}; {self.last_words()}") from None
        finally:
            connection.close()
        return {
            sample.name + _labels(sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in SHOWN and sample.value
        }

    def rulings(self, reason: str) -> float:
        """How many rulings had this reason."""
        counters = self.counters()
        return sum(value for name, value in counters.items() if f'reason="{reason}"' in name)


def _labels(labels: dict[str, str]) -> str:
    shown = [f'{name}="{value}"' for name, value in sorted(labels.items()) if name not in HIDDEN]
    return f"{{{','.join(shown)}}}" if shown else ""


def await_that(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` holds.

    :raises DemoError: it does not within ``PATIENCE``.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"waited in vain for {what}")
        time.sleep(0.01)

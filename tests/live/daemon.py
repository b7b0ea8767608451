"""The daemon as a process of a host, as an operator runs it, and what it tells."""

import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from namespaces import SLOWNESS, Host, wait_until
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from monitor.antireplay.ruling import Reason

ROOT = Path(__file__).parents[2]
KEYS = ROOT / "pcaps" / "keys"
METRICS_PORT = 9464
PORT = 5060


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that runs the package from this checkout."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


class Daemon:
    """One daemon, ready to rule when the constructor returns; its state outlives it in ``folder``.

    :param policy: lines of the configuration's ``[policy]``.
    :param keys: the directory of the private keys, None for none.
    :param prefix: a command that runs the daemon's.
    :param policies: the directory of policy files.
    :param store: where the store is, ``folder`` unless told otherwise.
    :param tables: further lines of the configuration; those before the first table are of ``[keys]``.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        *arguments: str,
        queue: int = 0,
        policy: str = "",
        keys: Path | None = KEYS,
        prefix: Sequence[str] = (),
        tables: str = "",
        policies: Path | None = None,
        store: Path | None = None,
    ) -> None:
        self.host = host
        self.queue = queue
        self.events_file = folder / "events.jsonl"
        self.config = folder / "monitor.toml"
        self.log = folder / "log.txt"
        self.config.write_text(
            (f'policies = "{policies}"\n' if policies else "") + f"[policy]\n{policy}\n"
            f'[store]\nurl = "sqlite:///{store or folder}/associations.db"\n'
            f'[secret]\nfile = "{folder}/secret"\n'
            f'[control]\nsocket = "{folder}/control"\n'
            f'[events]\nfile = "{self.events_file}"\n'
            + (f'[keys]\ndirectory = "{keys}"\n' if keys else "")
            + tables
        )
        folder.chmod(0o700)
        notifications = folder / "notify"
        notifications.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("a") as log:
            manager.bind(str(notifications))
            notifications.chmod(0o777)
            manager.setblocking(False)
            self.process = host.start(
                *(*prefix, sys.executable, "-m", "monitor", "run", "--config", str(self.config)),
                *("--queue", str(queue), *arguments),
                env=environment(NOTIFY_SOCKET=str(notifications)),
                stderr=log,
            )

            def ready() -> bool:
                try:
                    return b"READY=1" in manager.recv(4096)
                except BlockingIOError:
                    return False

            try:
                wait_until(ready, "the daemon", 30, self.process)
            except AssertionError as error:
                raise AssertionError(f"{error}: {self.log.read_text()}") from None

    def events(self) -> list[dict[str, Any]]:
        """All events told so far."""
        whole, _, _ = self.events_file.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def rulings(self) -> list[Reason]:
        """The reasons of all rulings so far."""
        return [Reason(event["reason"]) for event in self.events() if event["type"] == "ruling"]

    def samples(self) -> list[Sample]:
        """All that a scrape gives."""
        with (
            self.host.entered(),
            urllib.request.urlopen(
                f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=5 * SLOWNESS
            ) as answer,
        ):
            text = answer.read().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def metric(self, name: str, **labels: str) -> float:
        """One value of a scrape: the sum over what fits the labels."""
        fitting = [
            sample.value
            for sample in self.samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(fitting)

    def has_metric(self, name: str) -> bool:
        """Whether a scrape has it."""
        return any(sample.name == name for sample in self.samples())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(10 * SLOWNESS)

"""A real Prometheus beside the real daemon: quiet while calls go on, and told of every trouble."""

import math
import os
import re
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from daemon import KEYS, PORT, ROOT, Daemon, environment
from grafana_foundation_sdk.models.prometheus import Dataquery
from namespaces import Host, Network, unavailable, wait_until
from prometheus_server import Prometheus, missing

from grafana.__main__ import DASHBOARDS
from monitor.simulate import keyring
from monitor.simulate.party import ALICE, BOB
from monitor.simulate.stage import Setting, Stage

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(bool(unavailable()), reason=f"live tests: {unavailable()}"),
    pytest.mark.skipif(bool(missing), reason=f"needs {missing}"),
]
QUEUE_LENGTH = 300
SLOWNESS = {"LatencyHigh", "CommitSlow", "QueueFilling", "QueueDrops"}
"""Alerts that a busy machine may raise at any time."""
MACROS = {
    "$__rate_interval": "4s", "$__range_s": "60", "$__range": "60s",
    "$job": ".*", "$instance": ".*", "$source": ".*", "$reason": ".*",
}  # fmt: skip


@dataclass
class Site:
    """Alice's host with daemon and Prometheus, Bob who calls her, Charles who attacks."""

    folder: Path
    alice: Host
    prometheus: Prometheus
    daemon: Daemon
    stage: Stage
    phone: socket.socket
    caller: socket.socket
    attacker: socket.socket

    def __post_init__(self) -> None:
        self._turn = count()

    def invite(self, size: int = 0) -> bytes:
        """Bob's INVITE with a fresh key, sealed where it is to have a size."""
        body = self.stage.plain(BOB)
        if size:
            body = self.stage.sealed(body.padded(size), "bob", "alice")
        return self.stage.call(BOB, ALICE).invite(body).octets()

    def send(self, octets: bytes, sender: socket.socket | None = None) -> None:
        """Let Bob, or another, send Alice a datagram."""
        (sender or self.caller).sendto(octets, self.phone.getsockname())

    def talk(self) -> None:
        """A little of what goes on all day: calls in clear and sealed, retransmissions, keep-alives."""
        turn = next(self._turn)
        invite = self.invite(4000 if turn % 8 == 0 else 0)
        self.send(invite)
        if turn % 4 == 0:
            self.send(invite)
        self.send(self.stage.call(BOB, ALICE).request("OPTIONS").octets())
        self.send(b"\r\n\r\n")

    def until(self, condition: Callable[[], object], what: str, meanwhile: Callable[[], object]) -> None:
        """Wait for a condition while something goes on."""
        wait_until(lambda: (meanwhile(), condition())[1], what, 40, self.prometheus.process)

    def fires(self, alert: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait for an alert while something goes on."""
        self.until(lambda: alert in self.prometheus.firing(), f"the alert {alert}", meanwhile)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests here; each leaves it in a state that the next can use."""
    folder = tmp_path_factory.mktemp("site")
    network = Network()
    try:
        alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
        alice.queue(0, "-p", "udp", "--dport", str(PORT))
        (folder / "daemon").mkdir()
        shutil.copytree(KEYS, folder / "keys")
        daemon = Daemon(
            alice, folder / "daemon", keys=folder / "keys",
            tables=f"pending_per_source = 50\n[queue]\nlength = {QUEUE_LENGTH}\nbatch = 8\n",
        )  # fmt: skip
        prometheus = Prometheus(alice, folder / "prometheus")
        stage = Stage(Setting(keyring.load(KEYS)), "monitoring")
        # What counts before the first scrape, Prometheus does not see as an increase.
        wait_until(lambda: prometheus.values("count_over_time(up[20s]) >= 4"), "scrapes", 30)
        with alice.socket(port=PORT) as phone, bob.socket() as caller, charles.socket() as attacker:
            yield Site(folder, alice, prometheus, daemon, stage, phone, caller, attacker)
    finally:
        network.close()


def test_a_quiet_day_and_an_attack(site: Site) -> None:
    """Nothing fires while calls go on; then panels and alerts tell of an attack."""
    seen = site.prometheus.values
    calls = "sum(replay_monitor_rulings_total{reason='first-use'}) > 50"
    site.until(
        lambda: seen("count_over_time(up[20s]) >= 18") and seen(calls), "nine seconds, fifty calls", site.talk
    )
    assert site.prometheus.fired("8s") <= SLOWNESS

    recorded, malformed = site.invite(4000), b"INVITE sip:a@b SIP/2.0\r\nnonsense\r\n\r\n"
    site.send(recorded)

    def attack() -> None:
        site.talk()
        for _ in range(60):
            site.send(recorded, site.attacker)
        for _ in range(20):
            site.send(malformed, site.attacker)
        site.send(site.invite(), site.attacker)
        site.send(site.invite().replace(b"Content-Length: ", b"Content-Length: 1\r\nContent-Length: "))

    wanted = {"Denial", "Flood", "ExceptionSurge"}
    site.until(lambda: wanted <= site.prometheus.fired("60s"), "the alerts", attack)
    assert site.prometheus.firing() <= {*wanted, *SLOWNESS}
    for name in DASHBOARDS:
        for title, expression in queries(name):
            site.until(lambda: any(map(math.isfinite, seen(expression))), f"{title}: {expression}", attack)  # noqa: B023
    for label in ("job", "instance", "source", "reason"):
        for name in DASHBOARDS:
            for metric in re.findall(rf"label_values\((\w+)[^,]*, {label}\)", str(variables(name))):
                assert site.prometheus.get(f"label/{label}/values", **{"match[]": metric}), label
    exemplars = site.prometheus.get(
        "query_exemplars",
        query='replay_monitor_rulings_total{reason="source-changed"}',
        start="0",
        end="9999999999",
    )
    labels = exemplars[0]["exemplars"][-1]["labels"]
    denial = next(event for event in site.daemon.events() if event.get("reason") == "source-changed")
    assert labels["source"] == denial["source"]
    assert labels["spi"] in denial["spi"]
    assert denial["call_id"].startswith(labels["call_id"])


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Another program has the store to itself."""
    with closing(sqlite3.connect(site.folder / "daemon" / "associations.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def keyholder(site: Site) -> list[int]:
    """The process ids of the daemon's keyholder, and of its workers."""
    children = children_of(site.daemon.process.pid)
    return [*children, *(worker for child in children for worker in children_of(child))]


def children_of(pid: int) -> list[int]:
    with suppress(FileNotFoundError):  # It has just ended.
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def signalled(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_a_store_that_is_locked(site: Site) -> None:
    """Each commit waits for half a second and fails: the queue fills, then drops."""
    flood = [site.invite() for _ in range(QUEUE_LENGTH + 50)]
    with locked(site):
        for invite in flood:
            site.send(invite)
        for alert in ("QueueFilling", "QueueDrops", "StoreFailing", "LatencyHigh", "CommitSlow"):
            site.until(
                lambda: alert in site.prometheus.fired("30s"),  # noqa: B023
                f"the alert {alert}",
                lambda: site.send(site.invite()),
            )


def test_more_envelopes_than_can_be_opened(site: Site) -> None:
    """The keyholder stands still: beyond a limit its work is refused, and what waits is given up."""
    envelopes = [site.invite(1000) for _ in range(100)]
    workers = keyholder(site)
    signalled(workers, signal.SIGSTOP)
    try:
        for envelope in envelopes:
            site.send(envelope)
        for alert in ("Overload", "PacketsExpired"):
            site.fires(alert, lambda: site.send(site.invite(1000)))
    finally:
        signalled(workers, signal.SIGCONT)


def test_events_that_cannot_be_written(site: Site) -> None:
    events, kept = site.daemon.events_file, site.folder / "events"
    events.rename(kept)
    events.symlink_to("/dev/full")
    site.daemon.process.send_signal(signal.SIGHUP)
    site.fires("EventsLost", site.talk)
    events.unlink()
    kept.rename(events)
    site.daemon.process.send_signal(signal.SIGHUP)


def test_a_configuration_that_is_broken(site: Site) -> None:
    text = site.daemon.config.read_text()
    site.daemon.config.write_text(f"{text}\nbroken")
    site.daemon.process.send_signal(signal.SIGHUP)
    site.fires("ReloadFailed")
    site.daemon.config.write_text(text)
    site.daemon.process.send_signal(signal.SIGHUP)


def test_no_traffic(site: Site) -> None:
    site.fires("NoTraffic")


def test_a_keyholder_that_does_not_come_back(site: Site) -> None:
    keys = site.folder / "keys"
    keys.rename(site.folder / "elsewhere")
    signalled(keyholder(site), signal.SIGKILL)
    site.fires("KeyholderDown", site.talk)
    (site.folder / "elsewhere").rename(keys)


TOOL = """
from monitor.toolbox.layer import Kind
from monitor.toolbox.tool import NOTHING

class Tool:
    takes, provides, needs, parameters = frozenset({Kind.SESSION}), frozenset(), frozenset(), {}

    def __init__(self, databases):
        pass

    def apply(self, layer, case):
        1 / (case.message.call_id != "break it")
        return NOTHING
"""


def with_broken_tool(folder: Path) -> Path:
    """A distribution with a tool that has a mistake in it; the directory of templates that use it."""
    (folder / "broken-1.dist-info").mkdir(parents=True)
    (folder / "broken.py").write_text(TOOL)
    (folder / "broken-1.dist-info" / "METADATA").write_text("Name: broken\nVersion: 1\n")
    (folder / "broken-1.dist-info" / "entry_points.txt").write_text(
        "[sip_replay_monitor.tools]\nbroken = broken:Tool\n"
    )
    templates = folder / "templates"
    shutil.copytree(ROOT / "rules" / "templates" / "observe", templates)
    with (templates / "observe-only.toml").open("a") as template:
        template.write('\n[[step]]\ntool = "broken"\n')
    return templates


def renew(keys: Path, name: str, left: timedelta) -> None:
    """Put a certificate beside that of ``name`` that has so much time left."""
    identity = keyring.load(keys)[name]
    now = datetime.now(UTC)
    assert identity.key is not None
    certificate = x509.CertificateBuilder(
        identity.certificate.subject, identity.certificate.subject, identity.key.public_key(),
        x509.random_serial_number(), now - timedelta(days=99), now + left,
    ).sign(identity.key, SHA256())  # fmt: skip
    (keys / f"{name}-other.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def test_a_daemon_that_starts_again_and_again_with_trouble(site: Site) -> None:
    """Another daemon in its place: killed each time; certificates end, a disk is full, a tool fails."""
    site.daemon.stop(signal.SIGKILL)
    site.fires("Down")
    renew(site.folder / "keys", "alice", timedelta(days=5))
    renew(site.folder / "keys", "bob", -timedelta(days=5))
    folder = site.folder / "other"
    folder.mkdir()
    evidence = folder / "evidence"
    templates = with_broken_tool(site.folder / "broken")
    tables = (
        f'[templates]\ndirectory = "{templates}"\n'
        f'[evidence]\ndirectory = "{evidence}"\nkey = "{folder}/evidence.key"\nlimit = 1\n'
    )
    path = f"PYTHONPATH={environment()['PYTHONPATH']}:{site.folder}/broken"
    start = "process_start_time_seconds{job='replay-monitor'}"
    for _ in range(3):
        site.daemon.stop(signal.SIGKILL)
        site.until(lambda: not site.prometheus.values(start), "the end to be seen", lambda: None)
        site.daemon = Daemon(
            site.alice, folder, keys=site.folder / "keys", prefix=("env", path), tables=tables
        )
        site.until(lambda: site.prometheus.values(start), "the start to be seen", lambda: None)
    for alert in ("Restarting", "CertificateExpiring", "CertificateExpired"):
        site.fires(alert)
    recorded = site.invite(50_000)
    site.send(recorded)

    def attack() -> None:
        site.send(recorded, site.attacker)
        site.send(
            site.stage.call(BOB, ALICE).invite(site.stage.plain(BOB)).having("Call-ID", "break it").octets()
        )

    for alert in ("Passed", "EvidenceLost", "UnexpectedErrors"):
        site.fires(alert, attack)


def queries(name: str) -> Iterator[tuple[str, str]]:
    """Title and query of each panel of a dashboard, as Grafana would ask."""
    for panel in DASHBOARDS[name]().panels or ():
        for target in getattr(panel, "targets", None) or ():
            assert isinstance(target, Dataquery)
            expression = target.expr
            for macro, value in MACROS.items():
                expression = expression.replace(macro, value)
            assert "$" not in expression
            yield f"{name}: {panel.title}", expression


def variables(name: str) -> list[object]:
    """The queries of a dashboard's variables."""
    templating = DASHBOARDS[name]().templating
    assert templating is not None
    return [variable.query for variable in templating.list_val or ()]

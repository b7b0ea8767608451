"""The commands that ask the daemon, and those that open its store where none runs."""

import json
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, ConsoleDimensions

from monitor.__main__ import main
from monitor.antireplay.association import Association
from monitor.antireplay.dialog import Dialog
from monitor.antireplay.observation import Observation, Tier, Transaction
from monitor.antireplay.ruling import Reason, Verdict
from monitor.antireplay.table import Change, StoreError
from monitor.capture.nfqueue import Statistics
from monitor.cli.status_view import View
from monitor.config.secret import secret_check, site_secret
from monitor.control import associations as associations_module
from monitor.control.access import Access
from monitor.control.answers import Answers
from monitor.control.client import ControlClient
from monitor.control.server import ControlServer
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe.metrics import Metrics
from monitor.observe.recent import KEPT, Recent
from monitor.record import ExceptionRecord, Record, RulingRecord
from monitor.store.location import open_store
from monitor.store.managed import ManagedStore
from monitor.store.memory import MemoryStore
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS

BOB, CHARLES, ALICE = bytes((192, 0, 2, 2)), bytes((192, 0, 2, 66)), bytes((192, 0, 2, 1))
SEEN = Observation(
    Tier.MASTER_KEY,
    1_700_000_000 * NANOSECONDS,
    b"call",
    "tag:bob",
    None,
    Transaction("INVITE", 1, None, 42, None),
    BOB,
    BOB,
    ALICE,
    call_id="first@example.org",
)
DENIED = RulingRecord(
    7, 1_700_000_000 * NANOSECONDS, Flow(CHARLES, 5060, ALICE, 5060, "udp"), CHARLES,
    "INVITE sip:\x1b[31malice@example.org SIP/2.0", "INVITE", None, "first@example.org", 1, Verdict.DENY,
    Reason.SOURCE_CHANGED, "sdes", "default", ("3f9a1c2e",), ("master-key",), (),
)  # fmt: skip
ACCEPTED = replace(DENIED, verdict=Verdict.ACCEPT, reason=Reason.FIRST_USE, source=BOB)
ALERTED = replace(ACCEPTED, alerts=("originator-moved",))
EXCEPTION = ExceptionRecord(
    9, 1_700_000_001 * NANOSECONDS, None, CHARLES, ExceptionName.MALFORMED, Outcome.ALERT, "no Via"
)


def fill(store: ManagedStore, count: int = 3) -> None:
    """Put ``count`` associations, fingerprints 00…, 01… and so on, and a dialog into a store."""
    changes = []
    for number in range(count):
        seen = SEEN._replace(call_id=f"call-{number}@example.org")
        if number % 2:
            seen = seen._replace(tier=Tier.ENVELOPE, source=CHARLES)
        record = Association.of(seen).encode()
        expires = (1_800_000_000 + number) * NANOSECONDS
        changes.append(Change(bytes((number,)) * 32, None, record, expires))
    dialog = Dialog("call-0@example.org", "tag:bob").encode()
    changes.append(Change(b"\xee" * 32, None, dialog, 1_800_000_000 * NANOSECONDS))
    assert store.compare_and_swap(changes)
    store.commit()


class KeyHolder:
    """A keyholder's state."""

    alive = True
    refused = 2

    def __len__(self) -> int:
        return 5


class Daemon:
    """What there is to ask about, behind a socket that is served in a thread."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "control"
        self.config = folder / "monitor.toml"
        self.metrics = Metrics({0: lambda: Statistics(12, 3, 4)})
        self.metrics.queue_limit = 1024
        self.recent, self.store, self.keyholder = Recent(), MemoryStore(), KeyHolder()
        self.answers = Answers(
            metrics=self.metrics,
            recent=self.recent,
            store=self.store,
            store_url="redis://monitor:hush@example.org:6379/0?password=hush",
            keyholder=self.keyholder,
            keys=3,
        )
        self.config.write_text(
            f'[control]\nsocket = "control"\n[store]\nurl = "sqlite:///{folder}/associations.db"\n'
            '[secret]\nfile = "secret"\n'
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        server = ControlServer(self.socket, Access.to(), self.answers.commands)
        stop, stopper = os.pipe()

        def serve() -> None:
            while stop not in select.select([server.fileno(), stop], [], [])[0]:
                server.serve()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            os.write(stopper, b"\0")
            thread.join(5)
            server.close()
            os.close(stop)
            os.close(stopper)


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


def ask(daemon: Daemon, *arguments: str) -> int:
    return main([*arguments, "--config", str(daemon.config)])


def test_status_tells_all_that_an_operator_looks_for(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(daemon.store)
    daemon.metrics.store_records = daemon.store.count()
    for record in (DENIED, ALERTED, ACCEPTED, EXCEPTION):
        daemon.metrics.count(record)
        daemon.recent.add([record])
    daemon.metrics.latency.observe(0.0002)
    with daemon.running():
        assert ask(daemon, "status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["queues"] == [{"number": 0, "limit": 1024, "length": 12, "dropped": 3, "user_dropped": 4}]
    assert {each["reason"]: each["count"] for each in status["rulings"]} == {
        "source-changed": 1,
        "first-use": 2,
    }
    assert status["exceptions"] == [{"exception": "malformed", "outcome": "alert", "count": 1}]
    assert status["keyholder"]["pending"] == 5
    assert status["store"]["records"] == 4
    assert status["store"]["url"] == "redis://example.org:6379/0"
    assert status["latency"] == {"p50": 0.00025, "p99": 0.00025}
    assert [record["frame"] for record in status["recent"]] == [7, 7, 9]
    assert status["process"] == os.getpid()
    assert status["rehearsal"] is None


def test_status_for_people_lets_no_control_characters_through(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.recent.add([DENIED])
    daemon.metrics.count(DENIED)
    with daemon.running():
        assert ask(daemon, "status") == 0
        text = capsys.readouterr().out
        assert "\x1b[31malice" not in text
        assert "deny source-changed" in text
        assert "3 keys, 5 pending, 2 refused" in text
        daemon.keyholder.alive = False
        assert ask(daemon, "status") == 1
        assert "gone: no envelope is opened" in capsys.readouterr().out


def test_a_store_that_fails_is_told(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.metrics.store_failed = 0.0
    with daemon.running():
        assert ask(daemon, "status") == 0, "that was long ago"
        daemon.metrics.store_failed = time.monotonic()
        assert ask(daemon, "status") == 1
        assert "does not answer" in capsys.readouterr().out


def test_without_a_daemon_status_and_alerts_say_so(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("status", "alerts"):
        assert ask(daemon, command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert (
            line == f"replay-monitor: no daemon listens at {daemon.socket} (start it, or name its --config)"
        )
    daemon.config.write_text('[control]\nsocket = "off"\n')
    assert ask(daemon, "status") == 2
    assert "answers nobody" in capsys.readouterr().err


def test_a_live_view_needs_a_terminal(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(daemon, "status", "--watch") == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_alerts_are_the_latest_that_are_worth_it(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.recent.add([replace(DENIED, frame=number) for number in range(KEPT + 10)])
    daemon.recent.add([ACCEPTED, ALERTED, EXCEPTION])
    with daemon.running():
        assert ask(daemon, "alerts", "--json", "-n", "3") == 0
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [each["frame"] for each in told] == [KEPT + 9, 7, 9]
        assert ask(daemon, "alerts", "--json", "-n", str(KEPT)) == 0
        assert len(capsys.readouterr().out.splitlines()) == KEPT
        assert ask(daemon, "alerts") == 0
        told_to_people = capsys.readouterr().out
        assert "accept first-use (originator-moved)" in told_to_people
        assert f"There may be more: 'alerts -n {KEPT}' tells all that are kept." in told_to_people


@contextmanager
def _either(daemon: Daemon, running: bool) -> Iterator[None]:
    """The daemon runs, or has run and left its store."""
    if running:
        fill(daemon.store)
        with daemon.running():
            yield
        return
    secret = site_secret(daemon.config.parent / "secret")
    store = open_store(f"sqlite:///{daemon.config.parent}/associations.db", secret_check=secret_check(secret))
    fill(store)
    store.close()
    yield


@pytest.mark.parametrize("running", [True, False])
def test_associations_are_listed_page_by_page(
    daemon: Daemon, running: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(associations_module, "PAGE", 2)

    def listed(*arguments: str) -> list[str]:
        assert ask(daemon, "associations", "list", "--json", *arguments) == 0
        return [json.loads(line)["spi"] for line in capsys.readouterr().out.splitlines()]

    with _either(daemon, running):
        assert listed() == ["00000000", "01010101", "02020202"]
        assert listed("-n", "2") == ["00000000", "01010101"]
        assert listed("--after", "01" * 32, "-n", "0") == ["02020202"]
        assert listed("--tier", "envelope") == ["01010101"]
        assert listed("--source", "192.0.2.66") == ["01010101"]
        assert listed("--call-id", "call-2@example.org") == ["02020202"]
        assert ask(daemon, "associations", "list", "-n", "1") == 0
        header, row, more = capsys.readouterr().out.splitlines()
        assert header.split()[:3] == ["SPI", "tier", "source"]
        assert row.split()[:3] == ["00000000", "master-key", "192.0.2.2"]
        assert row.endswith("call-0@example.org")
        assert f"--after {'00' * 32}" in more


@pytest.mark.parametrize("running", [True, False])
def test_one_is_shown_then_forgotten(
    daemon: Daemon, running: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with _either(daemon, running):
        assert ask(daemon, "associations", "show", "01010101") == 0
        text = capsys.readouterr().out
        assert "from 192.0.2.66 to 192.0.2.1" in text
        assert "call-1@example.org" in text
        assert ask(daemon, "associations", "forget", "01010101") == 0
        assert "Forgotten: 01010101" in capsys.readouterr().out
        for action in ("show", "forget"):
            assert ask(daemon, "associations", action, "01010101") == 1
            assert "no association has the SPI 01010101" in capsys.readouterr().err
        assert ask(daemon, "associations", "show", "eeeeeeee") == 1, "a dialog is none"
        assert ask(daemon, "associations", "show", "0101") == 2
        assert ask(daemon, "associations", "show", "nonsense") == 2
    assert ("forgotten, as root" in caplog.text or os.geteuid() != 0) is running or os.geteuid() != 0


@pytest.mark.parametrize("running", [True, False])
def test_pruning_drops_what_has_expired_until_then(
    daemon: Daemon, running: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(associations_module, "PRUNE_SLICE", 2)

    def pruned(*arguments: str) -> dict[str, int]:
        assert ask(daemon, "associations", "prune", "--json", *arguments) == 0
        told: dict[str, int] = json.loads(capsys.readouterr().out)
        return told

    with _either(daemon, running):
        assert pruned("--before", "2023-01-01") == {"pruned": 0, "records": 4}
        assert pruned("--before", "2027-01-15T08:00:01+00:00") == {"pruned": 2, "records": 2}
        assert pruned("--before", "2030-01-01") == {"pruned": 2, "records": 0}


def test_spis_that_stand_for_several_are_told(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    record = Association.of(SEEN).encode()
    for last in (1, 2):
        assert daemon.store.compare_and_swap([Change(bytes(31) + bytes((last,)), None, record, 1 << 62)])
    daemon.store.commit()
    with daemon.running():
        assert ask(daemon, "associations", "forget", "00000000") == 2
        assert "stands for 2 associations" in capsys.readouterr().err
        assert ask(daemon, "associations", "forget", "00" * 31 + "02") == 0
    assert daemon.store.count() == 1


def test_changing_a_store_needs_its_lock_and_its_secret(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{daemon.config.parent}/associations.db"
    with _either(daemon, running=False):
        (daemon.config.parent / "secret").rename(daemon.config.parent / "kept")
        assert ask(daemon, "associations", "prune") == 2
        assert "site secret is not there" in capsys.readouterr().err
        (daemon.config.parent / "kept").rename(daemon.config.parent / "secret")
        check = secret_check((daemon.config.parent / "secret").read_bytes())
        held = open_store(url, secret_check=check)
        try:
            assert ask(daemon, "associations", "prune", "--store", url) == 2
            assert "is its one writer" in capsys.readouterr().err
            assert ask(daemon, "associations", "list", "--store", url) == 0
        finally:
            held.close()


def test_trouble_of_the_store_is_told_and_ends_nothing(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full; make room")

    monkeypatch.setattr(daemon.store, "records", fail)
    with daemon.running():
        assert ask(daemon, "associations", "list") == 2
        assert "the disk is full" in capsys.readouterr().err
        assert ask(daemon, "status", "--json") == 0


def test_the_live_view_tells_how_many_kinds_of_rulings_it_leaves_out(daemon: Daemon) -> None:
    view = View()
    with daemon.running(), ControlClient(daemon.socket) as client:
        view.take(client.ask("status", recent=30), 0.0)
    console = Console(width=80, height=24)

    def text() -> str:
        lines = console.render_lines(view.screen(ConsoleDimensions(80, 24)))
        return "\n".join("".join(segment.text for segment in line) for line in lines)

    assert "none so far" in text()
    assert "kinds" not in text()
    reasons = [reason for reason in Reason if reason.denies]
    for reason in reasons:
        daemon.metrics.count(replace(DENIED, reason=reason))
    with daemon.running(), ControlClient(daemon.socket) as client:
        view.take(client.ask("status", recent=30), 1.0)
    assert f"most frequent of {len(reasons)} kinds" in text()


@pytest.mark.parametrize("size", [(130, 36), (90, 40), (80, 24), (40, 10)])
def test_the_live_view_fills_the_screen_and_no_more(daemon: Daemon, size: tuple[int, int]) -> None:
    records: list[Record] = [DENIED, EXCEPTION, *[ALERTED] * 50]
    for record in records:
        daemon.metrics.count(record)
        daemon.recent.add([record])
    view = View()
    with daemon.running(), ControlClient(daemon.socket) as client:
        for now in range(3):
            status = client.ask("status", recent=30)
            status["packets"]["udp"] = 100 * now
            view.take(status, float(now))
    console = Console(width=size[0], height=size[1])
    lines = console.render_lines(view.screen(ConsoleDimensions(*size)))
    if size[1] >= 24:
        assert len(lines) <= size[1]
        text = "\n".join("".join(segment.text for segment in line) for line in lines)
        assert "100/s" in text
        assert "accept first-use" in text
        view.lose(0.0)
        head = (
            console.render_str("") if False else console.render_lines(view.screen(ConsoleDimensions(*size)))
        )
        assert "gone since" in "".join(segment.text for segment in head[0])

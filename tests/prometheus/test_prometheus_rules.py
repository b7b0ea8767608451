"""The rules for Prometheus in the eyes of promtool: each alert fires for its trouble alone, and in time."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from monitor.observe.exposition import FAMILIES, registry
from monitor.observe.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "rules" / "prometheus" / "replay-monitor.yml"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
END = 300
"""Samples, one in 30 s: two hours and a half. The trouble begins after the first of them."""
HOUR = 120

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (package prometheus)")


def run(*arguments: str, text: str = "") -> str:
    """What promtool says, which must be content."""
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def series(name: str, **labels: str) -> str:
    """A series of a monitor, whose name is put in later."""
    pairs = {"job": "replay-monitor", "instance": "MONITOR", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(pairs.items())) + "}"


def ours(name: str, **labels: str) -> str:
    """One of our own."""
    return series(f"replay_monitor_{name}", **labels)


def denied(enforced: bool = True) -> str:
    return ours(
        "rulings_total", reason="stale", verdict="deny", policy="default", enforced=str(enforced).lower()
    )


def exceptions(name: str, outcome: str = "deny") -> str:
    return ours("exceptions_total", exception=name, outcome=outcome)


def bucket(histogram: str, bound: str) -> str:
    return ours(f"{histogram}_seconds_bucket", le=bound)


STEADY = f"0+100x{END}"
HEALTHY = {
    series("up"): f"1x{END}",
    series("process_start_time_seconds"): f"5x{END}",
    ours("packets_total", transport="udp"): STEADY,
    denied(): f"0x{END}",
    denied(enforced=False): f"0x{END}",
    exceptions("undecryptable", "accept"): STEADY,
    exceptions("untrusted-signer", "alert"): STEADY,
    exceptions("malformed"): f"0x{END}",
    exceptions("overload"): f"0x{END}",
    exceptions("store-unavailable"): f"0x{END}",
    ours("queue_length", queue="0"): f"20x{END}",
    ours("queue_limit", queue="0"): f"16384x{END}",
    ours("queue_dropped_total", queue="0"): f"0x{END}",
    ours("queue_user_dropped_total", queue="0"): f"0x{END}",
    bucket("verdict_latency", "0.001"): STEADY,
    bucket("verdict_latency", "0.5"): STEADY,
    bucket("verdict_latency", "+Inf"): STEADY,
    bucket("commit", "0.001"): STEADY,
    bucket("commit", "0.5"): STEADY,
    bucket("commit", "+Inf"): STEADY,
    ours("expired_packets_total"): f"0x{END}",
    ours("commit_failures_total"): f"0x{END}",
    ours("keyholder_up"): f"1x{END}",
    ours("key_work_refused_total"): f"0x{END}",
    ours("unexpected_errors_total"): f"0x{END}",
    ours("certificate_expiry_timestamp_seconds", subject="CN=Alice", serial="1"): f"{100 * 86400}x{END}",
    ours("last_reload_successful"): f"1x{END}",
    ours("events_lost_total"): f"0x{END}",
    ours("evidence_lost_total"): f"0x{END}",
    ours("store_records"): f"1000x{END}",
}
"""A monitor at work: some envelopes for others, some signers unknown for ever, no trouble."""

ONCE = f"0x{HOUR} 1x{END - HOUR - 1}"
"""A counter that counts one trouble after an hour."""
LEFT = END - HOUR - 22


def ten_minutes(calm: int, trouble: int) -> str:
    """A value that is another for ten minutes after an hour."""
    return f"{calm}x{HOUR} {trouble}x20 {calm}x{LEFT}"


SLOW = f"0+100x{HOUR} {100 * HOUR}x20 {100 * (HOUR + 20)}+100x{LEFT}"
"""A bucket that ten minutes of slowness pass by."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong after an hour, and which alerts fire so many minutes later."""

    changes: dict[str, str]
    alerts: set[str]
    minutes: float = 1
    quiet: float | None = None
    """Minutes after which nothing fires yet."""
    lasts: bool = False
    """Whether they still fire 20 minutes after that."""


TROUBLES = {
    "Denial": Trouble({denied(): ONCE}, {"Denial"}),
    "Flood": Trouble({denied(): f"0x{HOUR} 0+90x20 1800x{LEFT}"}, {"Denial", "Flood"}, 5),
    "Passed": Trouble({denied(enforced=False): ONCE}, {"Denial", "Passed"}),
    "ExceptionSurge": Trouble(
        {exceptions("malformed"): f"0x{HOUR} 0+20x20 400x{LEFT}"}, {"ExceptionSurge"}, 8, 2
    ),
    "ExceptionSurge of one that is common": Trouble(
        {exceptions("untrusted-signer", "alert"): f"0+100x{HOUR} {100 * HOUR}+1000x20 0+100x{LEFT}"},
        {"ExceptionSurge"},
        8,
    ),
    "Down": Trouble({series("up"): ten_minutes(1, 0)}, {"Down"}, 2, 0.5),
    "Restarting": Trouble(
        {series("process_start_time_seconds"): f"5x{HOUR} 5+1x3 9x{END - HOUR - 5}"}, {"Restarting"}, 4
    ),
    "NoTraffic": Trouble(
        {ours("packets_total", transport="udp"): f"0+100x{HOUR} {100 * HOUR}x{END - HOUR - 1}"},
        {"NoTraffic"}, 61, 45, True,
    ),
    "QueueDrops": Trouble({ours("queue_dropped_total", queue="0"): ONCE}, {"QueueDrops"}),
    "QueueDrops of the buffer": Trouble(
        {ours("queue_user_dropped_total", queue="0"): ONCE}, {"QueueDrops"}
    ),
    "QueueFilling": Trouble(
        {ours("queue_length", queue="0"): ten_minutes(9, 9000)}, {"QueueFilling"}, 2, 0.5
    ),
    "LatencyHigh": Trouble({bucket("verdict_latency", "0.001"): SLOW}, {"LatencyHigh"}, 9, 4),
    "PacketsExpired": Trouble({ours("expired_packets_total"): ONCE}, {"PacketsExpired"}),
    "StoreFailing": Trouble({ours("commit_failures_total"): ONCE}, {"StoreFailing"}),
    "StoreFailing to read": Trouble({exceptions("store-unavailable"): ONCE}, {"StoreFailing"}),
    "CommitSlow": Trouble({bucket("commit", "0.001"): SLOW}, {"CommitSlow"}, 9, 4),
    "KeyholderDown": Trouble(
        {ours("keyholder_up"): ten_minutes(1, 0)}, {"KeyholderDown"}, 1, 0.25
    ),
    "Overload": Trouble({ours("key_work_refused_total"): ONCE}, {"Overload"}),
    "Overload of the core": Trouble({exceptions("overload"): ONCE}, {"Overload"}),
    "UnexpectedErrors": Trouble({ours("unexpected_errors_total"): ONCE}, {"UnexpectedErrors"}),
    "CertificateExpiring": Trouble(
        {ours("certificate_expiry_timestamp_seconds", subject="CN=Alice", serial="1"):
         f"{100 * 86400}x{HOUR} {10 * 86400}x{END - HOUR - 1}"},
        {"CertificateExpiring"}, lasts=True,
    ),
    "CertificateExpired": Trouble(
        {ours("certificate_expiry_timestamp_seconds", subject="CN=Alice", serial="1"):
         f"{100 * 86400}x{HOUR} 60x{END - HOUR - 1}"},
        {"CertificateExpired"}, lasts=True,
    ),
    "ReloadFailed": Trouble(
        {ours("last_reload_successful"): ten_minutes(1, 0)}, {"ReloadFailed"}
    ),
    "EventsLost": Trouble({ours("events_lost_total"): ONCE}, {"EventsLost"}),
    "EvidenceLost": Trouble({ours("evidence_lost_total"): ONCE}, {"EvidenceLost"}),
}  # fmt: skip


def firing(monitor: str, minutes: float, alerts: set[str]) -> dict[str, Any]:
    """That these alerts of a monitor, and no others, fire so many minutes after the first hour."""
    samples = [{"labels": f'{{alertname="ReplayMonitor{name}"}}', "value": 1} for name in sorted(alerts)]
    return {
        "expr": f'max by (alertname) (ALERTS{{alertstate="firing",instance="{monitor}"}})',
        "eval_time": f"{round((60 + minutes) * 60)}s",
        "exp_samples": samples,
    }


def expectations(monitor: str, trouble: Trouble) -> Iterator[dict[str, Any]]:
    """What fires at a monitor that has this trouble, and what does not."""
    for minutes in {0, trouble.quiet or 0}:
        yield firing(monitor, minutes, set())
    yield firing(monitor, trouble.minutes, trouble.alerts)
    yield firing(monitor, trouble.minutes + 20, trouble.alerts if trouble.lasts else set())


def passes(tmp_path: Path, values: Mapping[str, str], expected: Iterable[dict[str, Any]]) -> bool:
    """Whether promtool finds what is expected, given the values of series."""
    given = [{"series": key, "values": value} for key, value in values.items()]
    test = {"interval": "30s", "input_series": given, "promql_expr_test": list(expected)}
    file = tmp_path / "tests.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": [test]}))
    return "SUCCESS" in run("test", "rules", str(file))


@promtool
def test_rules_are_well_formed() -> None:
    assert "SUCCESS" in run("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


@promtool
def test_every_alert_fires_for_its_trouble_and_for_nothing_else(tmp_path: Path) -> None:
    values = {
        name.replace("MONITOR", monitor): value
        for monitor, trouble in TROUBLES.items()
        for name, value in (HEALTHY | trouble.changes).items()
    }
    expected = (each for monitor, trouble in TROUBLES.items() for each in expectations(monitor, trouble))
    assert passes(tmp_path, values, expected)


@promtool
def test_a_monitor_that_prometheus_does_not_know_is_down(tmp_path: Path) -> None:
    values = {series("up"): f"1x{HOUR} _x{LEFT}"}
    assert passes(tmp_path, values, [firing("", 0, set()), firing("", 3, set()), firing("", 8, {"Down"})])


def test_there_is_a_trouble_for_every_alert() -> None:
    assert set(ALERTS) == {f"ReplayMonitor{name}" for trouble in TROUBLES.values() for name in trouble.alerts}


def test_rules_speak_of_metrics_that_there_are() -> None:
    names = {family.name for family in FAMILIES}
    histograms = {family.name for family in FAMILIES if family.kind == "histogram"}
    expressions = re.sub(r"\w+:replay_monitor_\w+", "", RULES.read_text())
    for metric in re.findall(r"replay_monitor_\w+", expressions):
        assert metric in names or metric.removesuffix("_bucket") in histograms, metric


def test_every_alert_has_its_section_in_the_runbook() -> None:
    text = RULES.read_text()
    told = dict(re.findall(r"- alert: (\w+)\n.*?runbook_url: docs/alerts\.md#(\w+)", text, re.DOTALL))
    assert told == {alert: alert.lower() for alert in ALERTS}
    headings = re.findall(
        r"^### (ReplayMonitor\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE
    )
    assert headings == ALERTS


@promtool
def test_metrics_follow_the_rules_of_prometheus() -> None:
    metrics = Metrics()
    metrics.keyholder_up, metrics.store_records, metrics.store_bytes, metrics.loaded = True, 1, 1, 1
    assert run("check", "metrics", text=generate_latest(registry(metrics)).decode()) == ""

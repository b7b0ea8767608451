"""The same story from captures, for those who are not root: one capture for each run of the monitor."""

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.demo.daemon import command, environment
from monitor.demo.telling import DemoError, Teller, octets
from monitor.simulate.scenario import Scenario, Sent
from monitor.simulate.writer import write
from monitor.wire.frame import Frame


@dataclass(frozen=True, slots=True)
class Rulings:
    """What ``replay-monitor replay`` said of one capture."""

    records: Sequence[dict[str, Any]]
    summary: dict[str, Any]

    def reasons(self, frame: int) -> list[str]:
        """The reasons of the rulings on one frame."""
        return [record["reason"] for record in self.records if record["frame"] == frame]

    def counters(self) -> dict[str, float]:
        """Counts, written as the daemon's metrics are."""
        names = (f'rulings{{reason="{each["reason"]}",verdict="{each["verdict"]}"}}' for each in self.records)
        return {name: self.summary[name] for name in ("frames", "messages")} | dict(Counter(names))


def tell(scenario: Scenario, teller: Teller, folder: Path, keys: Path) -> None:
    """Tell the story.

    :param folder: for the captures and the store.
    :raises DemoError: it went otherwise.
    """
    columns = []
    first = 0
    for run in range(scenario.messages[-1].run + 1):
        messages = [sent for sent in scenario.messages if sent.run == run]
        last = messages[-1].frame
        rulings = _replay(folder, keys, f"run-{run}", scenario.frames[first:last])
        teller.chapter(
            "The monitor was stopped and started again" if run else "A call, and a recording of it"
        )
        for sent in messages:
            _step(sent, rulings.reasons(sent.frame - first), teller)
        wanted = sum(sent.reason is not None for sent in messages)
        if (rulings.summary["judged"], rulings.summary["exceptions"]) != (wanted, 0):
            raise DemoError(
                f"{rulings.summary['judged']} rulings and {rulings.summary['exceptions']} exceptions, "
                f"where the story has {wanted} and none"
            )
        columns.append(rulings.counters())
        first = last
    teller.counters(columns, ["before", "after"])


def _replay(folder: Path, keys: Path, name: str, frames: Sequence[Frame]) -> Rulings:
    """Rule on a capture of the frames, over the store that all runs share."""
    path = folder / f"{name}.pcap"
    with path.open("wb") as file:
        write(frames, file)
    options = ["--keys", str(keys), "--trust", str(keys / "ca.pem")]
    options += ["--store", f"sqlite://{folder / 'associations.db'}"]
    done = subprocess.run(
        command("replay", "--json", *options, str(path)), capture_output=True, text=True, env=environment()
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    if not records or records[-1]["type"] != "summary":
        raise DemoError(f"replay-monitor replay: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return Rulings([record for record in records if record["type"] == "ruling"], records[-1])


def _step(sent: Sent, reasons: list[str], teller: Teller) -> None:
    if reasons != ([] if sent.reason is None else [str(sent.reason)]):
        raise DemoError(
            f"{sent.message.start_line!r} is ruled {reasons or 'nothing'}, "
            f"and should be {sent.reason or 'nothing'}"
        )
    denied = sent.reason is not None and sent.reason.denies
    size = octets(len(sent.message.octets()))
    teller.step(sent, "would not pass" if denied else f"{size} would pass")

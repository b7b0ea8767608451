"""Growth: a check, a start, the memory and the pruning of a daemon whose store has become large."""

import gc
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks import traffic
from benchmarks.measure import quantile, resident
from benchmarks.table import Row
from monitor.antireplay.association import Association
from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, YEAR, assemble
from monitor.config.selector import PolicyList
from monitor.service import PRUNE_SLICE, TICK
from monitor.store.location import open_store
from monitor.store.managed import Durability, ManagedStore
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import ETHERNET

size = 1_000_000
"""Associations in the large store."""
SMALL = 1_000
BATCH = 20_000
FILL_CACHE = 2 * 1024 * 1024
"""KiB of pages in memory while a store is filled: the index is written at random places."""
CHECKS = 4_000
PRUNED = 1_000_000
SECRET_CHECK = b"benchmark"
MEMORY = 300e6
REST = 0.002
"""Seconds between two slices; the daemon has a quarter of one."""


def run(folder: Path) -> tuple[list[Row], dict[str, Any], list[str]]:
    """The rows, the numbers and the notes."""
    numbers: dict[str, Any] = {}
    for name, number in (("small", SMALL), ("large", size)):
        path = folder / f"{name}.db"
        began = time.perf_counter()
        octets = _fill(path, number)
        numbers[name] = {"associations": number, "fill": time.perf_counter() - began, "octets": octets}
    # In turns, so that a slow spell of the machine meets both.
    checks: dict[str, list[dict[str, float]]] = {"small": [], "large": []}
    for _ in range(3):
        for name, found in checks.items():
            found.append(_in_a_process("check", folder / f"{name}.db"))
    for name, found in checks.items():
        numbers[name] |= {key: min(each[key] for each in found) for key in found[0]}
        numbers[name]["resident"] = max(each["resident"] for each in found)
    numbers["prune"] = _in_a_process("prune", folder / "large.db")
    return _rows(numbers), numbers, _notes(numbers)


def _rows(numbers: dict[str, Any]) -> list[Row]:
    small, large, prune = numbers["small"], numbers["large"], numbers["prune"]
    ratio = large["check"] / small["check"]
    many = f"{size / 1e6:g} million associations"
    start = large["open"] * 1000
    return [
        Row(
            f"Growth: CPU of a check with {many}, over that with {SMALL}",
            "1.5",
            f"{ratio:.2f} ({large['check'] * 1e6:.0f} µs against {small['check'] * 1e6:.0f} µs)",
            ratio <= 1.5,
        ),
        Row(
            f"Growth: memory with {many}",
            "< 300 MB",
            f"{large['resident'] / 1e6:.0f} MB",
            large["resident"] < MEMORY,
        ),
        Row(
            "Growth: disk for an association with its dialog",
            "stated",
            f"{large['octets'] / size:.0f} octets",
            None,
            "two records for each call, their keys once in the rows and once in the index.",
        ),
        Row(
            f"Growth: opening the store of {many}",
            "as an empty one",
            f"{start:.1f} ms (small: {small['open'] * 1000:.1f} ms)",
            start < small["open"] * 1000 + 50,
        ),
        Row(
            f"Growth: pauses while {prune['pruned'] / 1e6:.2g} million records are pruned",
            "< 10 ms",
            f"p50 {prune['p50'] * 1000:.1f} ms, p99 {prune['p99'] * 1000:.1f} ms,"
            f" most {prune['most'] * 1000:.1f} ms in {prune['slices']} slices;"
            f" of CPU at most {prune['most_cpu'] * 1000:.1f} ms",
            prune["most"] < 0.010,
            f"between two slices of {PRUNE_SLICE} lie {REST * 1000:.0f} ms, in the daemon {TICK * 1000:.0f}.",
        ),
    ]


def _notes(numbers: dict[str, Any]) -> list[str]:
    if size >= 100_000_000:
        return []
    larger = ["10 and 100 million", "100 million"][size >= 10_000_000]
    return [f"Not run: growth to {larger} associations. make bench-growth SIZE=1e7"]


def _fill(path: Path, number: int) -> int:
    """Make a store of ``number`` calls, each an association and a dialog; its octets.

    The records go into a closed store with nothing to make them durable: through the store's own batches, ten
    million take hours.
    """
    template = _template(path.with_suffix(".sample"))
    _open(path).close()

    def rows(calls: range) -> Iterator[tuple[bytes, int, bytes]]:
        for call in calls:
            # Half of them expire at once, so that there is something to prune.
            expires = traffic.START + (0 if call % 2 else YEAR)
            for kind, record in enumerate(template):
                yield hashlib.sha256(b"%d/%d" % (kind, call)).digest(), expires, record

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{FILL_CACHE}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for first in range(0, number, BATCH):
            calls = range(first, min(first + BATCH, number))
            connection.executemany(
                "INSERT INTO association (key, expires, record) VALUES (?, ?, ?)", rows(calls)
            )
            print(f"\r{calls.stop:,} of {number:,} calls", end="", file=sys.stderr, flush=True)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'count'", (number * len(template),))
        connection.execute("COMMIT")
    print(file=sys.stderr)
    return path.stat().st_size


def _template(path: Path) -> tuple[bytes, bytes]:
    """The records of one call as the judge writes them: an association and a dialog."""
    store = _open(path)
    pipeline = assemble(store=store, secret=REPLAY_SECRET, policies=PolicyList(Policy()))
    pipeline.feed(next(iter(traffic.mix(1))))
    pipeline.settle()
    records = [entry.record for entry in store.records()]
    store.close()
    association = next(each for each in records if each.startswith(b'[3,"master-key"'))
    Association.decode(association)
    return association, next(each for each in records if b'"dialog"' in each)


def _open(path: Path, durability: Durability = "process") -> ManagedStore:
    return open_store(f"sqlite:///{path}", secret_check=SECRET_CHECK, durability=durability)


def _in_a_process(what: str, path: Path) -> dict[str, float]:
    """Measure in a process of its own, whose memory is then that of the measurement."""
    command = [sys.executable, "-m", "benchmarks.growth", what, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _frames() -> Iterator[list[Frame]]:
    """Batches of fresh INVITEs, other ones in each process."""
    first = time.time_ns() & 0xFFFFFFF
    batch: list[Frame] = []
    for frame in traffic.mix(CHECKS * 10, first):
        if frame.number % 10 == 1:
            batch.append(Frame(frame.number, traffic.START, ETHERNET, frame.data, frame.length))
        if len(batch) == 64:
            yield batch
            batch = []


def _check(path: Path) -> dict[str, float]:
    began = time.perf_counter()
    store = _open(path)
    opened = time.perf_counter() - began
    pipeline = assemble(store=store, secret=REPLAY_SECRET, policies=PolicyList(Policy()))
    gc.freeze()
    costs = []
    for batch in _frames():
        before = time.process_time()
        for frame in batch:
            pipeline.feed(frame)
        pipeline.settle()
        costs.append((time.process_time() - before) / len(batch))
    store.close()
    return {"open": opened, "check": quantile(costs, 0.5), "resident": resident(os.getpid())}


def _prune(path: Path) -> dict[str, float]:
    store = _open(path)
    now = traffic.START + NANOSECONDS
    pauses, costs, pruned = [], [], 0
    for _ in range(store.count() // PRUNE_SLICE + 1):
        if pruned >= PRUNED:
            break
        began, cpu = time.perf_counter(), time.process_time()
        pruned += store.prune(now, PRUNE_SLICE)
        pauses.append(time.perf_counter() - began)
        costs.append(time.process_time() - cpu)
        time.sleep(REST)
    store.close()
    return {
        "pruned": pruned,
        "slices": len(pauses),
        "p50": quantile(pauses, 0.5),
        "p99": quantile(pauses, 0.99),
        "most": max(pauses),
        "most_cpu": max(costs),
    }


if __name__ == "__main__":
    print(json.dumps({"check": _check, "prune": _prune}[sys.argv[1]](Path(sys.argv[2]))))

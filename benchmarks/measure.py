"""Times of processes, and which of them can be believed."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

LEAST_SHARE = 0.8
"""CPU time over wall time of a process that has nothing to wait for; below that others had the processor."""
ATTEMPTS = 6
"""Times that a measurement is repeated to have enough that can be believed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of ``work`` pieces of work."""

    work: int
    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all processes that took part."""
    cores: int = 1
    """How many of the machine's cores could work on it."""
    rss: int = 0
    """Most octets of memory that were resident."""
    done: int = 0
    """What came of it, for the caller to check."""

    @property
    def rate(self) -> float:
        """Pieces of work in a second."""
        return self.work / self.wall

    @property
    def cost(self) -> float:
        """Seconds of CPU for one piece of work."""
        return self.cpu / self.work

    @property
    def throttled(self) -> bool:
        """Whether the processor was not there for it."""
        return self.cpu < LEAST_SHARE * self.wall * self.cores

    def document(self) -> dict[str, Any]:
        """For the results."""
        return {**asdict(self), "rate": self.rate, "throttled": self.throttled}


@dataclass(frozen=True, slots=True)
class Series:
    """Several measurements of one thing."""

    name: str
    runs: tuple[Run, ...]

    @property
    def believed(self) -> tuple[Run, ...]:
        """Those that were not throttled; where all were, the one that was least."""
        good = tuple(run for run in self.runs if not run.throttled)
        return good or (max(self.runs, key=lambda run: run.cpu / run.wall),)

    @property
    def discarded(self) -> int:
        """How many are not among them."""
        return len(self.runs) - len(self.believed)

    @property
    def doubtful(self) -> bool:
        """Whether even what is left was throttled."""
        return all(run.throttled for run in self.runs)

    @property
    def rate(self) -> float:
        """Pieces of work in a second, the median."""
        return statistics.median(run.rate for run in self.believed)

    @property
    def cost(self) -> float:
        """Seconds of CPU for one piece of work, the median; it is had of throttled runs too."""
        return statistics.median(run.cost for run in self.believed)

    @property
    def rss(self) -> int:
        """Most octets of memory that were resident."""
        return max(run.rss for run in self.runs)

    def document(self) -> dict[str, Any]:
        """For the results."""
        return {
            "rate": self.rate,
            "microseconds_of_cpu": self.cost * 1e6,
            "discarded": self.discarded,
            "doubtful": self.doubtful,
            "runs": [run.document() for run in self.runs],
        }


def side_by_side(measurements: dict[str, Callable[[], Run]], wanted: int = 3) -> dict[str, Series]:
    """Repeat measurements in turns, until each has ``wanted`` that are not throttled, or ``ATTEMPTS``."""
    runs: dict[str, list[Run]] = {name: [] for name in measurements}

    def enough(name: str) -> bool:
        good = sum(not run.throttled for run in runs[name])
        return good >= wanted or len(runs[name]) >= max(wanted, ATTEMPTS)

    while not all(map(enough, measurements)):
        for name, measure in measurements.items():
            if not enough(name):
                runs[name].append(measure())
    return {name: Series(name, tuple(each)) for name, each in runs.items()}


def throttling(series: dict[str, Series]) -> list[str]:
    """What is to be said of runs in which others had the processor."""
    notes = []
    for name, each in series.items():
        if each.doubtful:
            notes.append(f"Doubtful: {name}. Others had the processor in every run; the best is told.")
        elif each.discarded:
            notes.append(f"Discarded: {each.discarded} of {len(each.runs)} runs of {name}, throttled.")
    return notes


def command(
    work: int, arguments: Sequence[str], output: BinaryIO | int = subprocess.DEVNULL, cores: int = 1
) -> Run:
    """Run a command to its end.

    :raises RuntimeError: it failed (1 is what ``replay`` says when something was denied).
    """
    began = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}: {said.decode()[-400:]}")
    return Run(work, wall, usage.ru_utime + usage.ru_stime, cores, usage.ru_maxrss * 1024)


def cpu_seconds(processes: Iterable[int]) -> float:
    """Seconds that processes, with all their threads, have had a processor."""
    total = 0
    for process in processes:
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def family(process: int) -> list[int]:
    """A process and what it started, directly or not."""
    found = [process]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def resident(process: int) -> int:
    """Most octets that were resident of a process so far."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]

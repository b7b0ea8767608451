"""``replay-monitor replay``: rule on captures as the queue would have."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Verdict
from monitor.antireplay.table import StoreError
from monitor.assembly import REPLAY_SECRET, YEAR, assemble
from monitor.capture.pcap import Capture, open_capture
from monitor.capture.reader import CaptureError
from monitor.config.load import load
from monitor.config.model import Config
from monitor.config.problem import ConfigError
from monitor.config.secret import SecretError, existing_secret, secret_check
from monitor.config.selector import PolicyList
from monitor.exceptions import Outcome
from monitor.keys.directory import Directory
from monitor.keys.error import KeyStoreError
from monitor.keys.ring import KeyRing
from monitor.keys.ring import load as load_keys
from monitor.keys.trust import TrustStore
from monitor.pipeline import Pipeline, Settled
from monitor.record import Record, RulingRecord, seconds
from monitor.store.location import open_store
from monitor.toolbox.registry import RegistryError
from monitor.toolbox.template import TemplateError

BATCH = 512
"""Frames between two commits."""
INPUT_ERRORS = (
    CaptureError,
    ConfigError,
    KeyStoreError,
    RegistryError,
    SecretError,
    StoreError,
    TemplateError,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "captures", nargs="+", metavar="CAPTURE", help="pcap or pcapng, plain or gzip; - for stdin"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration: policies, templates, secret"
    )
    parser.add_argument("--keys", type=Path, metavar="DIR", help="PEM files of private keys and certificates")
    parser.add_argument(
        "--trust", type=Path, metavar="PATH", help="trusted certificates: a file or a directory"
    )
    parser.add_argument("--store", metavar="URL", help="where associations live (default: fresh, in memory)")
    parser.add_argument("--json", action="store_true", help="write JSON Lines to standard output")
    parser.epilog = (
        "Exit status: 0 nothing was denied, 1 something was, 2 bad usage or an input that cannot be read."
    )


def main(options: argparse.Namespace) -> int:
    """Rule on the captures; see the exit statuses in ``arguments``."""
    try:
        pipeline, ring = _assemble(options)
        run = _Run(pipeline, ring, _Json(sys.stdout) if options.json else _Tabular())
        with _progress(options.captures) as advance:
            run.read(options.captures, advance)
    except INPUT_ERRORS as error:
        for line in str(error).splitlines():
            print(f"replay-monitor: {line}", file=sys.stderr)
        return 2
    run.close()
    return 1 if run.denied else 0


def _assemble(options: argparse.Namespace) -> tuple[Pipeline, KeyRing]:
    config = load(options.config) if options.config else Config()
    secret = (existing_secret(config.secret.file) if options.config else None) or REPLAY_SECRET
    keys, trust = options.keys or config.keys.directory, options.trust or config.keys.trust
    ring = load_keys(keys) if keys else KeyRing(Directory())
    for warning in ring.warnings:
        print(f"replay-monitor: {warning}", file=sys.stderr)
    pipeline = assemble(
        store=open_store(options.store or "memory:", secret_check=secret_check(secret)),
        secret=secret,
        policies=config.policies if options.config else PolicyList(Policy()),
        directory=ring.directory,
        trust=TrustStore.load(trust) if trust else None,
        templates=config.templates.directory,
        retention=config.store.retention or YEAR,
    )
    return pipeline, ring


@dataclass(slots=True)
class _Run:
    """One run over captures: feeds the pipeline, answers it, counts and tells."""

    pipeline: Pipeline
    ring: KeyRing
    output: "_Json | _Tabular"
    frames: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    exceptions: int = 0
    denied: bool = False

    def read(self, paths: Sequence[str], advance: Any) -> None:
        """Feed every frame of every capture, in order."""
        for path in paths:
            with open_capture(path, self.frames + 1) as capture:
                for frame in capture:
                    self.frames = frame.number
                    if self.pipeline.feed(frame) is None:
                        self._answer()
                    if not frame.number % BATCH:
                        self._settle()
                        advance(capture)
                advance(capture)
                for warning in capture.warnings:
                    print(f"replay-monitor: {warning}", file=sys.stderr)

        self.pipeline.finish()
        self._answer()
        self._settle()

    def _answer(self) -> None:
        while asks := self.pipeline.asks():
            for ask in asks:
                self.pipeline.answer(ask.number, self.ring.unwrap(ask.request))

    def _settle(self) -> None:
        for settled in self.pipeline.settle():
            self._count(settled)
            for record in settled.records:
                self.output.record(record)

    def _count(self, settled: Settled) -> None:
        self.denied |= settled.verdict is Verdict.DENY
        for record in settled.records:
            if isinstance(record, RulingRecord):
                self.verdicts[record.verdict] += 1
                self.reasons[str(record.reason)] += 1
                self.denied |= record.verdict is Verdict.DENY
            else:
                self.exceptions += 1
                self.denied |= record.outcome is Outcome.DENY

    def close(self) -> None:
        """Tell the summary."""
        accepted, denied = self.verdicts[Verdict.ACCEPT], self.verdicts[Verdict.DENY]
        self.output.summary(
            {
                "type": "summary",
                "frames": self.frames,
                "messages": self.pipeline.counts["messages"],
                "judged": accepted + denied,
                "accepted": accepted,
                "denied": denied,
                "exceptions": self.exceptions,
                "reasons": dict(self.reasons),
            }
        )


class _Json:
    """JSON Lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def record(self, record: Record) -> None:
        """One record, one line."""
        self._out.write(json.dumps(record.document(), separators=(",", ":")) + "\n")

    def summary(self, summary: dict[str, Any]) -> None:
        """The last line."""
        self._out.write(json.dumps(summary, separators=(",", ":")) + "\n")
        self._out.flush()


class _Tabular:
    """A table for people, with the summary below."""

    MOST = 1000
    """Rows shown; accepts beyond that are counted only."""

    def __init__(self) -> None:
        self._console = Console()
        self._table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("frame", "time", "source", "message", "ruling", "SPI"):
            self._table.add_column(
                column, justify="right" if column == "frame" else "left", no_wrap=column != "message"
            )
        self._left_out = 0

    def record(self, record: Record) -> None:
        """One row."""
        document = record.document()
        ruling = isinstance(record, RulingRecord)
        word = document["verdict" if ruling else "outcome"]
        if self._table.row_count >= self.MOST and word != "deny":
            self._left_out += 1
            return
        colour = {"deny": "bold red", "alert": "yellow", "accept": "green"}[word]
        what = (
            f"{word} {document['reason']}"
            if ruling
            else f"{word} {document['exception']}: {document['detail']}"
        )
        if ruling and document["alerts"]:
            what += f" ({', '.join(document['alerts'])})"
        self._table.add_row(
            str(record.frame),
            f"{seconds(record.time):.6f}",
            Text(str(document["source"] or "")),
            Text(document["start_line"] or ""),
            Text(what, style=colour),
            " ".join(document["spi"]) if ruling else "",
        )

    def summary(self, summary: dict[str, Any]) -> None:
        """The table, and the summary below it."""
        if self._table.row_count:
            self._console.print(self._table)
            self._console.print()
        if self._left_out:
            self._console.print(f"{self._left_out} further accepts are not shown; --json tells all\n")
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
        self._console.print(
            f"{summary['frames']} frames, {summary['messages']} SIP messages, {summary['judged']} judged: "
            f"[green]{summary['accepted']} accepted[/], [bold red]{summary['denied']} denied[/], "
            f"{summary['exceptions']} exceptions" + (f" ({reasons})" if reasons else "")
        )


@contextmanager
def _progress(paths: Sequence[str]) -> Iterator[Any]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda capture: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def advance(capture: Capture) -> None:
            progress.update(task, completed=capture.position, total=capture.size or None)

        yield advance

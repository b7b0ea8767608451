"""``replay-monitor replay``: rule on captures as the queue would have."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from monitor import collector
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Verdict
from monitor.antireplay.table import StoreError
from monitor.assembly import REPLAY_SECRET, YEAR, assemble
from monitor.capture.pcap import Capture, open_capture
from monitor.capture.reader import CaptureError
from monitor.cli.helping import explain
from monitor.cli.report_file import ReportFile, ReportFileError
from monitor.cli.telling import JsonLines, Tabular, Telling
from monitor.config.load import load
from monitor.config.model import Config
from monitor.config.problem import ConfigError
from monitor.config.secret import SecretError, existing_secret, secret_check
from monitor.config.selector import PolicyList
from monitor.exceptions import Outcome
from monitor.forerunner import Forerunner
from monitor.keys.directory import Directory
from monitor.keys.error import KeyStoreError
from monitor.keys.ring import KeyRing
from monitor.keys.ring import load as load_keys
from monitor.keys.trust import TrustStore
from monitor.media.examination import Examination
from monitor.media.keychain import Keychain
from monitor.media.signalling import Signalling
from monitor.observe.report.findings import Findings
from monitor.observe.report.media import left_out_of
from monitor.observe.report.page import page
from monitor.observe.report.report import CaptureFacts, Media, Report
from monitor.pipeline import Pipeline, Settled
from monitor.record import RulingRecord
from monitor.shipped import program_version
from monitor.store.location import open_store, public_url
from monitor.toolbox.registry import RegistryError
from monitor.toolbox.template import TemplateError

BATCH = 512
"""Frames between two commits."""
LARGE = 1 << 20
"""Octets of captures from which on private-key work is done ahead by other processes."""
MAX_WORKERS = 8
"""Of these; more would be faster than what they are ahead of."""
STANDARD_INPUT = "-"
NOT_TWICE = "standard input cannot be read twice, so the media in it was not looked at"
INPUT_ERRORS = (
    CaptureError,
    ConfigError,
    KeyStoreError,
    RegistryError,
    ReportFileError,
    SecretError,
    StoreError,
    TemplateError,
)
Advance = Callable[[Capture], None]
"""Tells how far a capture is read."""


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
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write one page that shows what was found"
    )
    explain(
        parser,
        "replay-monitor replay capture.pcap",
        "replay-monitor replay --keys pcaps/keys --report report.html pcaps/9-media.pcap",
        "tcpdump -w - -c 1000 port 5060 | replay-monitor replay --json -",
        text="Any number of captures are read in the given order, as if they were one.",
        status="0 nothing was denied, 1 something was, 2 bad usage or an input that cannot be read",
    )


def main(options: argparse.Namespace) -> int:
    """Rule on the captures; see the exit statuses in ``arguments``."""
    try:
        with ExitStack() as stack:
            file = None
            if options.report:
                file = stack.enter_context(ReportFile(options.report, options.captures))
            run = _assemble(options, stack)
            collector.calm()
            with _progress() as task:
                run.read(options.captures, task("reading"))
                media = run.examine(options.captures, task("looking at the media"))
            run.close(media)
            if file is not None and run.findings is not None:
                file.write(page(_report(run, run.findings, media)))
    except INPUT_ERRORS as error:
        for line in str(error).splitlines():
            print(f"replay-monitor: {line}", file=sys.stderr)
        return 2
    return 1 if run.denied else 0


def _assemble(options: argparse.Namespace, stack: ExitStack) -> "_Run":
    config = load(options.config) if options.config else Config()
    secret = (existing_secret(config.secret.file) if options.config else None) or REPLAY_SECRET
    keys, trust = options.keys or config.keys.directory, options.trust or config.keys.trust
    ring = load_keys(keys) if keys else KeyRing(Directory())
    for warning in ring.warnings:
        print(f"replay-monitor: {warning}", file=sys.stderr)
    # Before anything starts a thread: a copy of the process has none.
    forerunner = stack.enter_context(closing(Forerunner(ring, options.captures, _workers(options, ring))))
    keychain = Keychain(secret)
    store = open_store(options.store or "memory:", secret_check=secret_check(secret))
    stack.callback(store.close)
    pipeline = assemble(
        store=store,
        secret=secret,
        policies=config.policies if options.config else PolicyList(Policy()),
        directory=ring.directory,
        trust=TrustStore.load(trust) if trust else None,
        templates=config.templates.directory,
        retention=config.store.retention or YEAR,
        hashes=keychain,
    )
    findings = None
    if options.report:
        findings = Findings()
        pipeline.heard = findings.heard
    output = JsonLines(sys.stdout) if options.json else Tabular()
    settings = _settings(options, len(ring.directory.holdings), trust)
    return _Run(pipeline, forerunner, keychain, output, findings, settings)


def _workers(options: argparse.Namespace, ring: KeyRing) -> int:
    """How many processes are to unwrap ahead: one for each further core, where that is worth their start."""
    directory = ring.directory
    if STANDARD_INPUT in options.captures or not (directory.holdings or directory.secrets):
        return 0
    with suppress(OSError):
        if sum(Path(each).stat().st_size for each in options.captures) >= LARGE:
            return min(len(os.sched_getaffinity(0)) - 1, MAX_WORKERS)
    return 0


@dataclass(slots=True)
class _Run:
    """One run over captures: feeds the pipeline, answers it, counts and tells."""

    pipeline: Pipeline
    forerunner: Forerunner
    keychain: Keychain
    output: Telling
    findings: Findings | None
    """For the report, None where there is to be none."""
    settings: Sequence[tuple[str, str]]
    signalling: Signalling = field(default_factory=Signalling)
    captures: list[CaptureFacts] = field(default_factory=list)
    frames: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    exceptions: int = 0
    denied: bool = False

    def read(self, paths: Sequence[str], advance: Advance) -> None:
        """Feed every frame of every capture, in order."""
        for path in paths:
            with open_capture(path, self.frames + 1, hashed=self.findings is not None) as capture:
                facts = CaptureFacts(capture.name, capture.form, capture.size, first_frame=self.frames + 1)
                for frame in capture:
                    self.frames = frame.number
                    if self.findings is not None:
                        facts.add(frame)
                    if self.pipeline.feed(frame) is None:
                        self._answer()
                    if not frame.number % BATCH:
                        self._settle()
                        advance(capture)
                advance(capture)
                for warning in capture.warnings:
                    print(f"replay-monitor: {warning}", file=sys.stderr)
                facts.snap_length, facts.warnings = capture.snap_length, capture.warnings
                facts.sha256 = capture.sha256()
                self.captures.append(facts)

        self.pipeline.finish()
        self._answer()
        self._settle()

    def examine(self, paths: Sequence[str], advance: Advance) -> Media:
        """Read the captures once more, for the media under keys that came where they must not."""
        keys = {
            key: octets
            for key in self.signalling.suspects
            if (octets := self.keychain.octets(key)) is not None
        }
        media = Media(keys=len(keys), left_out=self.signalling.left_out + self.keychain.left_out)
        if not keys:
            return media
        if STANDARD_INPUT in paths:
            print(f"replay-monitor: {NOT_TWICE}", file=sys.stderr)
            media.note = f"{NOT_TWICE}."
            return media
        examination = Examination(keys, self.signalling.call_of)
        number = 1
        for path in paths:
            with open_capture(path, number) as capture:
                for frame in capture:
                    number = frame.number + 1
                    examination.feed(frame)
                    if not frame.number % BATCH:
                        advance(capture)
        media.repeats, media.counts = examination.repeats(), examination.counts
        return media

    def _answer(self) -> None:
        while asks := self.pipeline.asks():
            for ask in asks:
                self.pipeline.answer(ask.number, self.forerunner.unwrap(ask.request))

    def _settle(self) -> None:
        for settled in self.pipeline.settle():
            self._count(settled)
            for record in settled.records:
                self.output.record(record)
                if self.findings is not None:
                    self.findings.record(record)

    def _count(self, settled: Settled) -> None:
        self.denied |= settled.verdict is Verdict.DENY
        for record in settled.records:
            if isinstance(record, RulingRecord):
                self.signalling.hear(record)
                self.verdicts[record.verdict] += 1
                self.reasons[str(record.reason)] += 1
                self.denied |= record.verdict is Verdict.DENY
            else:
                self.exceptions += 1
                self.denied |= record.outcome is Outcome.DENY

    def close(self, media: Media) -> None:
        """Tell what came of the media, and the summary."""
        self.output.media(media.repeats)
        for said in left_out_of(media):
            print(f"replay-monitor: {said}", file=sys.stderr)
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


def _settings(options: argparse.Namespace, held: int, trust: Path | None) -> tuple[tuple[str, str], ...]:
    """How the run is made, for the report."""
    keys = f"{held}, from {options.keys or options.config}" if held else "none: envelopes were not opened"
    return (
        ("policy", str(options.config or "the default: no relays, nobody moves")),
        ("private keys", keys),
        ("trusted certificates", str(trust or "none: nobody was asked whom to trust")),
        ("associations", public_url(options.store or "") or "fresh: nothing was known before"),
    )


def _report(run: _Run, findings: Findings, media: Media) -> Report:
    program = f"sip-replay-monitor {program_version()}"
    return Report(findings, run.captures, media, run.settings, program, time.time_ns())


@contextmanager
def _progress() -> Iterator[Callable[[str], Advance]]:
    """Bars on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda name: lambda capture: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def begin(name: str) -> Advance:
            task = progress.add_task(name, total=None, visible=False)

            def advance(capture: Capture) -> None:
                progress.update(task, completed=capture.position, total=capture.size or None, visible=True)

            return advance

        yield begin

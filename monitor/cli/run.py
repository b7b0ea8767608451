"""``replay-monitor run``: the daemon."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path

from cryptography import x509

from monitor import collector
from monitor.antireplay.table import StoreError
from monitor.assembly import YEAR, assemble
from monitor.capture.nfqueue import Queue, read_statistics
from monitor.capture.packet import QueueError
from monitor.capture.pcap import PcapWriter
from monitor.cli.helping import explain
from monitor.config.load import DEFAULT_PATH, load_daemons
from monitor.config.model import Config, KeysTable, SecretTable
from monitor.config.problem import ConfigError
from monitor.config.secret import SecretError, secret_check, site_secret
from monitor.config.selector import Selector
from monitor.control.access import Access
from monitor.control.answers import Answers
from monitor.control.error import ControlError
from monitor.control.server import ControlServer
from monitor.enforce import blockset
from monitor.enforce.blocker import Blocker, Terms
from monitor.enforce.conntrack import assured
from monitor.enforce.enforcer import Enforcer
from monitor.enforce.responder import Responder
from monitor.enforce.source import Spared
from monitor.keys.directory import Directory
from monitor.keys.error import KeyStoreError
from monitor.keys.holder import KeyHolder
from monitor.keys.trust import TrustStore
from monitor.observe import ecs
from monitor.observe import log as logs
from monitor.observe.certificates import expiries
from monitor.observe.entry import EvidenceError
from monitor.observe.events import EventFile, Teller
from monitor.observe.evidence import EvidenceLog, signing_key
from monitor.observe.exporter import Exporter
from monitor.observe.metrics import Metrics
from monitor.observe.notify import Notifier
from monitor.observe.recent import Recent
from monitor.observe.version import version_of
from monitor.pipeline import Pipeline
from monitor.record import Record
from monitor.rehearsal import MEANINGS, Failure, Rehearsal
from monitor.reload import Reloader
from monitor.service import MeasuredStore, Service
from monitor.store.location import open_store, public_url
from monitor.toolbox.registry import RegistryError
from monitor.toolbox.template import TemplateError
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import RAW

log = logging.getLogger("monitor")


_IPV6_ADDRESSES = Path("/proc/net/if_inet6")
STATE = SecretTable().file.parent
"""Where the daemon keeps its files by default; made by it where no service manager has."""
LONGEST_RETENTION = 100 * YEAR
"""Longer than that would not fit a store; RFC 5280 §4.1.2.5 lets a certificate last to the year 9999."""


class StartError(Exception):
    """The daemon cannot start. One line, with the mend."""


START_ERRORS = (
    ConfigError,
    ControlError,
    EvidenceError,
    KeyStoreError,
    QueueError,
    RegistryError,
    SecretError,
    StartError,
    StoreError,
    TemplateError,
)

_TEXT = """\
The kernel rules that fill the queue are another command: 'replay-monitor rules apply'.

Failures to rehearse, on a machine that can bear them (docs/failures.md): from its start the daemon
{rehearsals}
SIGUSR1 ends that, and begins it anew.

SIGTERM and SIGINT end it: it rules on what is queued, then lets go of the queue. SIGHUP begins a fresh
file of events and reads the configuration again: policies, templates and trust take effect between two
packets, or stay as they are where anything is wrong.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    rehearsals = "\n".join(f"  {name:<18} {meaning}" for name, meaning in MEANINGS.items())
    explain(
        parser,
        "sudo replay-monitor run",
        "sudo replay-monitor run --config monitor.toml --queue 3",
        "sudo replay-monitor run --record seen.pcap",
        text=_TEXT.format(rehearsals=rehearsals),
        status="0 it was asked to end, 1 the queue failed, 2 it could not start",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration (default {DEFAULT_PATH}, if it is there)",
    )
    parser.add_argument(
        "--queue",
        type=_number,
        action="append",
        metavar="N",
        help="instead of [queue] numbers; may be repeated",
    )
    parser.add_argument("--keys", type=Path, metavar="DIR", help="instead of [keys] directory")
    parser.add_argument(
        "--simulate-failure",
        choices=tuple(map(str, Failure)),
        metavar="NAME",
        help="rehearse a failure, see below; this is for no other purpose",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="write every packet to a capture, keys and all: 'replay' on it gives the same rulings",
    )


def main(options: argparse.Namespace) -> int:
    """Start, serve until asked to end; see the exit statuses in the help."""
    with ExitStack() as stack:
        try:
            service = _start(options, stack)
        except START_ERRORS as error:
            for line in str(error).splitlines():
                print(f"replay-monitor: {line}", file=sys.stderr)
            return 2
        collector.calm()
        try:
            service.run()
        except QueueError as error:
            log.critical("%s", error)
            return 1
    return 0


def _start(options: argparse.Namespace, stack: ExitStack) -> Service:
    """Everything that the daemon needs, in the order in which it is had; ``stack`` gives it back."""
    config = load_daemons(options.config)
    if config.secret.file.parent == STATE:
        with suppress(OSError):  # what cannot be made there says so itself
            STATE.mkdir(mode=0o700, exist_ok=True)
    logs.configure(config.log.level, config.log.format)
    rehearsal = Rehearsal(Failure(options.simulate_failure) if options.simulate_failure else None)
    numbers = tuple(dict.fromkeys(options.queue or config.queue.numbers))
    keyholder = _keyholder(options.keys or config.keys.directory, config.keys, rehearsal, stack)
    directory = keyholder.directory if keyholder is not None else Directory()
    secret = site_secret(config.secret.file)
    store = open_store(
        config.store.url, secret_check=secret_check(secret), durability=config.store.durability
    )
    stack.callback(store.close)
    evidence = _evidence(config, stack)
    metrics = Metrics({number: partial(read_statistics, number) for number in numbers})
    metrics.queue_limit = config.queue.length
    pipeline = assemble(
        store=MeasuredStore(rehearsal.store(store), metrics),
        secret=secret,
        policies=config.policies,
        directory=directory,
        trust=TrustStore.load(config.keys.trust) if config.keys.trust else None,
        templates=config.templates.directory,
        retention=config.store.retention or _until_expiry(directory, time.time_ns()),
        evidence=config.evidence.keep if evidence else None,
    )
    _describe(metrics, config, pipeline, directory)
    events = _events(config, stack)
    queues = _queues(numbers, config, rehearsal, stack)
    _export(metrics, config, stack)
    responder = Responder()
    stack.callback(responder.close)
    enforcer = Enforcer(responder.send)
    metrics.rewritten, metrics.responses = enforcer.rewritten, enforcer.responses
    blocker = _blocker(config)
    metrics.blocks = blocker.counts if blocker is not None else None
    recent = Recent()
    answers = Answers(
        metrics=metrics,
        recent=recent,
        store=store,
        store_url=config.store.url,
        keyholder=keyholder,
        keys=len(directory.holdings),
        rehearsal=lambda: rehearsal.current,
    )
    reload = Reloader(
        partial(load_daemons, options.config),
        config,
        pipeline,
        partial(_adopt, metrics, pipeline, directory, blocker),
    )
    service = Service(
        queues,
        pipeline,
        metrics=metrics,
        batch=config.queue.batch,
        keyholder=keyholder,
        enforcer=enforcer,
        blocker=blocker,
        store=store,
        report=_reporter(events, recent, metrics),
        evidence=evidence,
        record=_recorder(options.record, stack),
        control=_control(config, answers, stack),
        on_reload=lambda: _reload(events, reload),
        notifier=Notifier(),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    signal.signal(signal.SIGHUP, lambda *_: service.reload())
    if rehearsal.current:
        signal.signal(signal.SIGUSR1, lambda *_: rehearsal.toggle())
        log.warning("rehearsal: this daemon %s (SIGUSR1 ends that)", MEANINGS[rehearsal.current])
    log.info(
        "ruling on queue %s with %d private key(s), associations in %s, metrics at %s",
        ", ".join(map(str, numbers)),
        len(directory.holdings),
        public_url(config.store.url),
        config.metrics.listen or "nowhere",
    )
    return service


def _reload(events: EventFile | None, configuration: Reloader) -> None:
    if events is not None:
        events.reopen()  # First: who turns files over has nothing to do with the configuration.
    configuration()


def _keyholder(
    path: Path | None, table: KeysTable, rehearsal: Rehearsal, stack: ExitStack
) -> KeyHolder | None:
    if path is None:
        return None
    keyholder = rehearsal.keyholder(
        path, workers=table.workers, pending=table.pending, pending_source=table.pending_per_source
    )
    stack.callback(keyholder.close)
    for warning in keyholder.warnings:
        log.warning("%s", warning)
    return keyholder


def _blocker(config: Config) -> Blocker | None:
    table = config.block
    if not table.enabled:
        return None
    terms = Terms(table.denials, table.within, table.duration, table.udp, table.ipv6_prefix)
    return Blocker(terms, blockset.add, _spared(config), assured)


def _spared(config: Config) -> Spared:
    """Who is never blocked."""
    policies = (config.policies.default, *(policy for _, policy in config.policies.entries))
    relays = frozenset[bytes]().union(*(policy.relays | policy.b2bua for policy in policies))
    return Spared(config.block.allow, relays | _own_addresses())


def _own_addresses() -> frozenset[bytes]:
    """The IPv6 addresses of this host: who is in a network with it is blocked for himself."""
    try:
        lines = _IPV6_ADDRESSES.read_text().splitlines()
    except OSError:  # There is no IPv6.
        return frozenset()
    return frozenset(bytes.fromhex(line.split()[0]) for line in lines)


def _adopt(
    metrics: Metrics, pipeline: Pipeline, directory: Directory, blocker: Blocker | None, config: Config
) -> None:
    """Take account of a configuration that was read anew."""
    _describe(metrics, config, pipeline, directory)
    if blocker is not None:
        blocker.spared = _spared(config)


def _describe(metrics: Metrics, config: Config, pipeline: Pipeline, directory: Directory) -> None:
    """Tell the metrics what there is to count, and what is in force."""
    default, entries, templates = config.policies.default, config.policies.entries, pipeline.templates
    policies = {policy.name: (selector, policy) for selector, policy in (*entries, (Selector(), default))}
    metrics.expect(policies, sorted({template.enforce for template in templates}))
    metrics.policies = {(name, version_of(policy)): 1 for name, policy in policies.items()}
    metrics.templates = {(template.name, version_of(template)): 1 for template in templates}
    held = (certificate for holding in directory.holdings for certificate in holding.certificates)
    metrics.certificates = expiries(held, time.time_ns())
    metrics.messages = pipeline.messages
    metrics.core = (pipeline.counts, pipeline.decoder.counts, pipeline.streams.counts)


def _until_expiry(directory: Directory, now: int) -> int:
    """Nanoseconds until the newest certificate of a held key expires, a year at the least: who holds a key
    whose certificate has expired may open with it what was recorded before."""
    certificates = [
        x509.load_der_x509_certificate(der) for holding in directory.holdings for der in holding.certificates
    ]
    ends = [round(each.not_valid_after_utc.timestamp()) * NANOSECONDS for each in certificates]
    return min(max([YEAR, *(end - now for end in ends)]), LONGEST_RETENTION)


def _events(config: Config, stack: ExitStack) -> EventFile | None:
    if config.events.file is None:
        return None
    try:
        events = EventFile(str(config.events.file), ecs.line if config.events.format == "ecs" else dict)
    except OSError as error:
        raise StartError(f"events: {config.events.file}: {error.strerror} (mend [events] file)") from error
    stack.callback(events.close)
    return events


def _evidence(config: Config, stack: ExitStack) -> EvidenceLog | None:
    table = config.evidence
    if table.directory is None:
        return None
    evidence = EvidenceLog(
        table.directory,
        signing_key(table.key),
        limit=table.limit << 20,
        durable=config.store.durability == "power",
        required=table.required,
    )
    stack.callback(evidence.close)
    head = evidence.head
    log.info("evidence in %s follows entry %d:%s", table.directory, head.index, head.hash)
    return evidence


def _queues(numbers: Sequence[int], config: Config, rehearsal: Rehearsal, stack: ExitStack) -> list[Queue]:
    frames = count(1)
    queues = []
    for number in numbers:
        queue = rehearsal.queue(
            number,
            reader=config.queue.reader,
            length=config.queue.length,
            fail_open=config.queue.fail_open,
            frames=frames,
        )
        stack.callback(queue.close)
        queues.append(queue)
    return queues


def _export(metrics: Metrics, config: Config, stack: ExitStack) -> None:
    listen = config.metrics.listen
    if listen is None:
        return
    try:
        exporter = Exporter(metrics, listen.host, listen.port)
    except OSError as error:
        raise StartError(f"metrics: {listen}: {error.strerror} (mend [metrics] listen)") from error
    stack.callback(exporter.close)


def _control(config: Config, answers: Answers, stack: ExitStack) -> ControlServer | None:
    """Where operators may ask; a daemon that cannot be asked still rules."""
    path = config.control.socket
    if path is None:
        return None
    access = Access.to(config.control.users, config.control.groups)
    try:
        server = ControlServer(path, access, answers.commands)
    except ControlError as error:
        log.warning("nobody can ask this daemon: %s", error)
        return None
    stack.callback(server.close)
    return server


def _reporter(
    events: EventFile | None, recent: Recent, metrics: Metrics
) -> Callable[[Sequence[Record], int], None]:
    teller = Teller()

    def report(records: Sequence[Record], now: int) -> None:
        if events is not None:
            events.write(records)
            metrics.events_lost = events.lost
        recent.add(records)
        for record in records:
            teller.tell(record, now)

    return report


def _recorder(path: Path | None, stack: ExitStack) -> Callable[[Frame], None] | None:
    if path is None:
        return None
    try:
        # What is recorded holds keys: nobody else may read it.
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise StartError(f"recording: {path}: {error.strerror}") from error
    stack.enter_context(file)
    return stack.enter_context(PcapWriter(file, RAW)).write


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no queue number (0 to 65535)")
    return int(text)

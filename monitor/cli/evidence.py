"""``replay-monitor evidence``: what the log holds, as files for others, and whether it is genuine."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.cli.helping import add, explain
from monitor.config.load import DEFAULT_PATH, load
from monitor.config.problem import ConfigError
from monitor.keys.certificate import UNREADABLE
from monitor.observe import audit, entry
from monitor.observe.entry import PUBLIC_KEY, Entry, EvidenceError
from monitor.observe.export import export
from monitor.wire.frame import NANOSECONDS

WIDEST = 200
"""Letters of a line of 'list'; --json tells all."""
MOST = 20
"""Findings that are told in full; the rest of a damaged log is told as a number."""

_STATUS = "0 done, verified; 1 the log is not as it was written; 2 bad usage, or it cannot be read"
_TEXT = """\
'list' shows every entry, 'export' writes one as files that openssl and Wireshark read, 'verify' looks for a
changed octet, a removed, inserted or moved entry, a wrong key and a log that was cut off.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "replay-monitor evidence list",
        "replay-monitor evidence verify",
        text=_TEXT,
        status=_STATUS,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = add(
        actions,
        "list",
        "show every entry",
        "replay-monitor evidence list",
        "replay-monitor evidence list --json | jq 'select(.signer)'",
    )
    shown.add_argument("--json", action="store_true", help="write JSON Lines to standard output")
    exported = add(
        actions,
        "export",
        "write one entry as files for other programs",
        "replay-monitor evidence export 17 --out case-17",
    )
    exported.add_argument("entry", type=_index, metavar="ENTRY", help="its number, as 'list' shows it")
    exported.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the files go")
    verified = add(
        actions,
        "verify",
        "see that the log is as it was written",
        "replay-monitor evidence verify",
        "replay-monitor evidence verify --key site.pub --first 4711",
        status=_STATUS,
    )
    verified.add_argument("--key", type=Path, metavar="FILE", help=f"instead of {PUBLIC_KEY} beside the log")
    verified.add_argument(
        "--head", type=_head, metavar="N:HASH", help="an entry as it was noted elsewhere, which must be there"
    )
    verified.add_argument(
        "--first",
        type=_index,
        default=1,
        metavar="N",
        help="the log begins with entry N, older segments having been put elsewhere (default 1)",
    )
    for each in (shown, exported, verified):
        each.add_argument("--directory", type=Path, metavar="DIR", help="instead of [evidence] directory")
        each.add_argument(
            "--config", type=Path, metavar="FILE", help=f"the configuration (default {DEFAULT_PATH})"
        )


def main(options: argparse.Namespace) -> int:
    """Do the action; see the exit statuses in the help."""
    try:
        directory = _directory(options)
        if options.action == "list":
            _list(directory, as_json=options.json)
        elif options.action == "export":
            _export(directory, options.entry, options.out)
        else:
            return _verify(directory, options)
    except (ConfigError, EvidenceError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}")
    return 0


def _fail(text: str) -> int:
    for line in text.splitlines():
        print(f"replay-monitor: {line}", file=sys.stderr)
    return 2


def _directory(options: argparse.Namespace) -> Path:
    given: Path | None = options.directory
    directory = given or load(options.config or DEFAULT_PATH).evidence.directory
    if directory is None:
        raise EvidenceError("no evidence is kept: [evidence] has no directory (or give --directory)")
    if not directory.is_dir():
        raise EvidenceError(f"{directory}: no such directory")
    return directory


def _entries(directory: Path) -> Iterator[Entry]:
    """Every entry that can be read; of the rest standard error is told."""
    for path in entry.segments(directory):
        for line in entry.lines(path):
            found = entry.decode(line.octets) if line.whole else None
            if found is None:
                print(f"replay-monitor: {path.name}:{line.number}: no entry can be read", file=sys.stderr)
            else:
                yield found


def _list(directory: Path, *, as_json: bool) -> None:
    if not as_json:
        print(f"{'entry':>8}  {'time (UTC)':23}  {'source':15}  {'ruling':18}  {'signer':16}  message")
    for found in _entries(directory):
        document = found.document
        told = {name: value for name, value in document.items() if name not in ("message", "certificate")}
        if as_json:
            told |= {"octets": len(found.message), "hash": found.head.hash}
            print(json.dumps(told, separators=(",", ":")))
            continue
        time = datetime.fromtimestamp(document["time"] / NANOSECONDS, UTC).replace(tzinfo=None)
        columns = (
            f"{found.head.index:>8}",
            f"{time.isoformat(' ', 'milliseconds'):23}",
            f"{document['source']:15}",
            f"{_ruling(document['records']):18}",
            f"{_signer(found):16}",
            found.message.lstrip().partition(b"\r\n")[0].decode("latin-1"),
        )
        print(_printable("  ".join(columns)))


def _ruling(records: list[dict[str, Any]]) -> str:
    """What became of the message, in a word."""
    told = [record.get("reason") or record.get("exception", "") for record in records]
    return str(told[-1]) if told else "no key in it"


def _signer(found: Entry) -> str:
    """The signer's common name, else the beginning of its certificate's hash."""
    try:
        certificate = x509.load_der_x509_certificate(found.certificate)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value)
    except (*UNREADABLE, IndexError):
        return str(found.document["signer"] or "")[:16]


def _printable(text: str) -> str:
    cut = text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def _export(directory: Path, index: int, folder: Path) -> None:
    key = audit.public_key(directory / PUBLIC_KEY)
    for found in _entries(directory):
        if found.head.index == index:
            if not (found.intact and audit.genuine(found.head, key)):
                raise EvidenceError(f"entry {index} is not as it was signed; 'evidence verify' tells more")
            for path in export(found, folder, key):
                print(path)
            return
    raise EvidenceError(f"{directory}: there is no entry {index}")


def _verify(directory: Path, options: argparse.Namespace) -> int:
    key = audit.public_key(options.key or directory / PUBLIC_KEY)
    reading = audit.Audit(directory, key, first=options.first, anchor=options.head)
    findings = 0
    with _progress(directory) as advance:
        for finding in reading.findings(advance):
            findings += 1
            if findings <= MOST:
                print(finding)
    if findings > MOST:
        print(f"and {findings - MOST} more")
    if reading.torn:
        print(f"the last line is unfinished, {reading.torn} octets: a write was cut short, or is under way")
    head = reading.last
    print(
        f"{directory}: {reading.entries} entries, {f'{findings} findings' if findings else 'all as written'}"
        + (f"; head {head.index}:{head.hash}" if reading.entries else "")
    )
    return 1 if findings else 0


@contextmanager
def _progress(directory: Path) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda octets: None
        return
    size = sum(path.stat().st_size for path in entry.segments(directory))
    columns = (
        TextColumn("verifying"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size)
        yield lambda octets: progress.advance(task, octets)


def _index(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no entry's number (1 and on)")
    return int(text)


def _head(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d{1,16}):([0-9a-f]{64})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no head (write it as 'evidence verify' prints it)")
    return int(match[1]), match[2]

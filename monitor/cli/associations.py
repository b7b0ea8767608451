"""``replay-monitor associations``: what is known of keys and envelopes, the daemon's SAD."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from monitor.antireplay.table import StoreError
from monitor.cli import asking
from monitor.cli.helping import add, explain
from monitor.config.problem import ConfigError
from monitor.config.secret import SecretError, existing_secret, secret_check
from monitor.control import associations
from monitor.control.error import ControlError, NotRunningError
from monitor.observe.events import printable
from monitor.store.location import open_store
from monitor.wire import address

_TEXT = """\
While the daemon runs it is asked, and answers between two batches of packets. Where none runs, or with
--store, the store itself is opened: 'list' and 'show' change and lock nothing, 'forget' and 'prune' need
the store's lock, which a running daemon holds. They come in the order of their fingerprints, which is none
that means anything; 'list --after FINGERPRINT' goes on after one.
"""

_STATUS = "0 done, 1 there is no such association, 2 it cannot be done"
_ROW = "{:<8}  {:<10}  {:<15}  {:<19}  {:<19}  {:>4}  {}"
_NARROW_ROW = "{0:<8}  {1:<10}  {2:<15}  {4:<19}  {6}"
ROOMY = 115
"""Columns from which there is room for all of a row."""

Ask = Callable[..., Any]
"""Asks a daemon, or a store that is open here: a command and its parameters (``control.associations``)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "replay-monitor associations list --source 192.0.2.66",
        "replay-monitor associations show 57d7f1c5",
        text=_TEXT,
        status=_STATUS,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(
        actions,
        "list",
        "list them, as many as asked for",
        "replay-monitor associations list",
        "replay-monitor associations list --source 192.0.2.66 --tier master-key",
        "replay-monitor associations list -n 0 --json",
    )
    listing.add_argument(
        "-n", "--number", type=_count, default=100, metavar="N", help="how many (default 100); 0: all"
    )
    listing.add_argument("--after", default="", metavar="FINGERPRINT", help="go on after this one")
    listing.add_argument("--tier", choices=("master-key", "envelope"), default="", help="only of this tier")
    listing.add_argument("--source", type=_address, metavar="IP", help="only used from there")
    listing.add_argument("--call-id", default="", metavar="ID", help="only used in this call")
    showing = add(
        actions,
        "show",
        "tell all that is known of one",
        "replay-monitor associations show 57d7f1c5",
        "replay-monitor associations show 57d7f1c5 --store sqlite:///copy.db",
        status=_STATUS,
    )
    forgetting = add(
        actions,
        "forget",
        "let a key be used once more, by anybody",
        "replay-monitor associations forget 57d7f1c5",
        status=_STATUS,
    )
    for one in (showing, forgetting):
        one.add_argument("spi", metavar="SPI", help="its SPI, or more digits of its fingerprint")
    pruning = add(
        actions,
        "prune",
        "drop what has expired",
        "replay-monitor associations prune",
        "replay-monitor associations prune --before 2027-01-31",
    )
    pruning.add_argument(
        "--before",
        type=_time,
        metavar="TIME",
        help="and what expires until then, as in 2027-01-31",
    )
    for action in actions.choices.values():
        asking.arguments(action)
        action.add_argument("--store", metavar="URL", help="open this store, whatever daemon there is")
        action.add_argument("--json", action="store_true", help="one JSON object a line")


def main(options: argparse.Namespace) -> int:
    """Do what is asked; see the exit statuses in the help."""
    act = {"list": _list, "show": _show, "forget": _forget, "prune": _prune}[options.action]
    try:
        with _asked(options) as ask:
            return act(ask, options)
    except (ConfigError, ControlError, SecretError, StoreError) as error:
        return asking.complain(error)


@contextmanager
def _asked(options: argparse.Namespace) -> Iterator[Ask]:
    if options.store is None:
        try:
            client = asking.connect(options)
        except NotRunningError:
            options.store = asking.configuration(options).store.url
        else:
            with client:
                yield client.ask
            return
    reads = options.action in ("list", "show")
    secret = None if reads else existing_secret(asking.configuration(options).secret.file)
    if not reads and secret is None:
        raise ControlError("the site secret is not there: name the daemon's --config")
    check = secret_check(secret) if secret else None
    with closing(open_store(options.store, secret_check=check, readonly=reads)) as store:
        commands = associations.commands(store)
        yield lambda command, **parameters: commands[command](parameters)


def _list(ask: Ask, options: argparse.Namespace) -> int:
    wanted = {"tier": options.tier, "source": options.source or "", "call_id": options.call_id}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    if not options.json:
        print(_row(("SPI", "tier", "source", "first seen", "last seen", "legs", "Call-ID"), width))
    last = ""
    for count, association in enumerate(_all(ask, options.after, wanted)):
        if options.number and count == options.number:
            if not options.json:
                print(f"There are more: 'list --after {last}' goes on, 'list --number 0' tells all.")
            break
        last = association["fingerprint"]
        print(json.dumps(association) if options.json else _row(_columns(association), width))
    return 0


def _all(ask: Ask, after: str | None, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """All that is wanted, page by page: no more than one is in memory."""
    while after is not None:
        page = ask("associations", after=after, **wanted)
        yield from page["associations"]
        after = page["next"]


def _show(ask: Ask, options: argparse.Namespace) -> int:
    found = ask("association", spi=options.spi)
    for association in found:
        if options.json:
            print(json.dumps(association))
        else:
            _tell(association)
    if not found:
        asking.complain(ControlError(f"no association has the SPI {options.spi}"))
    return 0 if found else 1


def _forget(ask: Ask, options: argparse.Namespace) -> int:
    if not ask("association", spi=options.spi):
        asking.complain(ControlError(f"no association has the SPI {options.spi}"))
        return 1
    forgotten = ask("forget", spi=options.spi)
    if options.json:
        print(json.dumps(forgotten))
    else:
        call = forgotten["legs"][0]
        print(f"Forgotten: {forgotten['spi']}, used from {call['source']} in {printable(call['call_id'])}.")
    return 0


def _prune(ask: Ask, options: argparse.Namespace) -> int:
    before = options.before or time.time()
    pruned = looked = 0
    while True:
        answer = ask("prune", before=before)
        pruned, looked = pruned + answer["pruned"], looked + answer["slice"]
        # The walk may begin anywhere: once around, and as far again as a slice.
        if looked > answer["records"] + pruned + 2 * answer["slice"]:
            break
    if options.json:
        print(json.dumps({"pruned": pruned, "records": answer["records"]}))
    else:
        print(f"{pruned} records are dropped, {answer['records']} are left.")
    return 0


def _row(columns: Sequence[object], width: int) -> str:
    row = (_ROW if width >= ROOMY else _NARROW_ROW).format(*columns)
    return row if len(row) <= width else f"{row[: width - 1]}…"


def _columns(association: Mapping[str, Any]) -> tuple[object, ...]:
    legs = association["legs"]
    return (
        association["spi"],
        association["tier"],
        legs[0]["source"],
        asking.moment(association["first"]),
        asking.moment(association["last"]),
        len(legs),
        printable(legs[0]["call_id"]),
    )


def _tell(association: Mapping[str, Any]) -> None:
    lines = [
        ("SPI", association["spi"]),
        ("fingerprint", association["fingerprint"]),
        ("tier", association["tier"]),
        ("first seen", asking.moment(association["first"])),
        ("last seen", asking.moment(association["last"])),
        ("kept until", asking.moment(association["expires"])),
    ]
    for number, leg in enumerate(association["legs"], 1):
        lines += [
            (f"leg {number}", f"from {leg['source']} to {', '.join(leg['destinations'])}"),
            ("  Call-ID", leg["call_id"] or "not kept"),
            ("  parties", f"{leg['sender']} (its key), {leg['peer'] or 'whoever answers'}"),
            ("  seen", f"{asking.moment(leg['first'])} to {asking.moment(leg['last'])}"),
        ]
    for name, value in lines:
        print(f"{name:<12} {printable(value)}")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no number")
    return int(text)


def _address(text: str) -> str:
    try:
        return address.text(address.pack(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no IP address") from None


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no time, as in 2027-01-31 or 2027-01-31T18:00") from None

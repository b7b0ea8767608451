"""``replay-monitor blocked``: the sources that the kernel blocks."""

import argparse
import json
import sys

from monitor.cli.helping import add, explain
from monitor.config.quantity import duration_text
from monitor.enforce import blockset
from monitor.enforce.programs import NetfilterError
from monitor.enforce.source import Source
from monitor.wire.frame import NANOSECONDS

_TEXT = """\
The daemon blocks sources that keep sending replays where its configuration says so ([block]). The kernel
rules ('replay-monitor rules apply') hold the set, so this works without the daemon, and applying them anew
empties it. A source that is let through again and goes on is blocked again. Of IPv6 a source may be a whole
network ([block] ipv6_prefix): an address of it lets all of it through.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(parser, "replay-monitor blocked list", "replay-monitor blocked clear 192.0.2.66", text=_TEXT)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(
        actions,
        "list",
        "tell who is blocked, and for how much longer",
        "replay-monitor blocked list",
        "replay-monitor blocked list --json",
    )
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    clearing = add(
        actions,
        "clear",
        "let sources through again",
        "replay-monitor blocked clear 192.0.2.66",
        "replay-monitor blocked clear",
    )
    clearing.add_argument("address", nargs="*", type=_source, metavar="ADDRESS", help="which (default: all)")


def main(options: argparse.Namespace) -> int:
    """List or clear; see the exit statuses in the help."""
    try:
        if options.action == "list":
            _list(options.json)
        else:
            _clear(options.address)
    except NetfilterError as error:
        print(f"replay-monitor blocked: {error}", file=sys.stderr)
        return 2
    return 0


def _list(as_json: bool) -> None:
    found = blockset.blocked()
    for each in found:
        if as_json:
            print(json.dumps({"address": str(each.source), "seconds": each.seconds}))
        else:
            print(f"{each.source!s:<43} {duration_text(each.seconds * NANOSECONDS)}")
    if not found and not as_json:
        print("Nobody is blocked.")


def _clear(sources: list[Source]) -> None:
    for source in sources:
        blockset.remove(source)
    if not sources:
        blockset.clear()
    print(f"Let through again: {', '.join(map(str, sources)) or 'all'}.")


def _source(text: str) -> Source:
    try:
        return Source.read(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is neither an address nor a network") from None

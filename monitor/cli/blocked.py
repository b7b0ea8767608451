"""``replay-monitor blocked``: the sources that the kernel blocks."""

import argparse
import json
import sys

from monitor.config.quantity import duration_text
from monitor.enforce import blockset
from monitor.enforce.programs import NetfilterError
from monitor.wire import address
from monitor.wire.frame import NANOSECONDS

_EPILOG = """\
The daemon blocks sources that keep sending replays where its configuration says so ([block]). The kernel
rules ('replay-monitor rules apply') hold the set, so this works without the daemon, and applying them anew
empties it. A source that is let through again and goes on is blocked again.

Exit status: 0 done, 2 not.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="who is blocked, and for how much longer")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    clearing = actions.add_parser("clear", help="let a source through again, or all of them")
    clearing.add_argument("address", nargs="*", type=_address, metavar="ADDRESS", help="none: all of them")


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
            print(json.dumps({"address": each.address, "seconds": each.seconds}))
        else:
            print(f"{each.address:<40} {duration_text(each.seconds * NANOSECONDS)}")
    if not found and not as_json:
        print("Nobody is blocked.")


def _clear(sources: list[bytes]) -> None:
    for source in sources:
        blockset.remove(source)
    if not sources:
        blockset.clear()
    print(f"Let through again: {', '.join(map(address.text, sources)) or 'all'}.")


def _address(text: str) -> bytes:
    try:
        return address.pack(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no address") from None

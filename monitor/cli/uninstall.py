"""``replay-monitor uninstall``: the service is ended and its files are removed."""

import argparse
import sys
from pathlib import Path

from monitor.cli import install
from monitor.cli.completion import script
from monitor.cli.helping import explain
from monitor.installation import Installation, InstallationError

_TEXT = """\
The service is stopped and the kernel rules are removed with it. The store, the logs, private keys and a
configuration that was edited stay; the user stays too, since files of its may be left.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "sudo replay-monitor uninstall --dry-run",
        "sudo replay-monitor uninstall --purge",
        text=_TEXT,
    )
    install.common(parser)
    parser.add_argument(
        "--purge",
        action="store_true",
        help="remove the store, the logs and the configuration too; never keys",
    )


def main(options: argparse.Namespace) -> int:
    """Uninstall, telling each step; see the exit statuses in the help."""
    installation = Installation(options.root, options.prefix, Path(sys.argv[0]), script)
    try:
        if options.root == Path("/"):
            install.run_all(installation.commands_before_removal(), options.dry_run)
        for step in installation.uninstall(options.dry_run, options.purge):
            print(step)
    except InstallationError as error:
        print(f"replay-monitor: {error}", file=sys.stderr)
        return 2
    return 0

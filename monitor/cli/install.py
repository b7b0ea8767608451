"""``replay-monitor install``: the daemon as a service of the machine."""

import argparse
import sys
from pathlib import Path

from monitor.cli.completion import script
from monitor.cli.helping import explain
from monitor.installation import Installation, InstallationError, run

_TEXT = """\
Units, user, directories, the manual page and what makes shells complete the command are put in place, a link
to the command on the path, and a configuration where there is none; doing so again changes nothing. After
an upgrade of the package, run it again: units are replaced, the store and a configuration that was edited
stay, with what it is by default now beside it as .new. Nothing is started:

  replay-monitor check-config
  systemctl enable --now replay-monitor replay-monitor-rules
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "sudo replay-monitor install --dry-run",
        "sudo replay-monitor install",
        "replay-monitor install --root package --prefix /usr --program /usr/bin/replay-monitor",
        text=_TEXT,
    )
    common(parser)
    parser.add_argument(
        "--program",
        type=Path,
        metavar="PATH",
        default=Path(sys.executable).with_name("replay-monitor"),
        help="the command that the units call (default: this one)",
    )


def common(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that uninstalling has too."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="put files below it and run nothing, to make a package",
    )
    parser.add_argument(
        "--prefix",
        type=Path,
        default=Path("/usr/local"),
        metavar="DIR",
        help="where units and the like go (default /usr/local)",
    )


def main(options: argparse.Namespace) -> int:
    """Install, telling each step; see the exit statuses in the help."""
    try:
        installation = Installation(options.root, options.prefix, options.program, script)
        for step in installation.install(options.dry_run):
            print(step)
        if options.root == Path("/"):
            run_all(installation.commands_after(), options.dry_run)
    except InstallationError as error:
        print(f"replay-monitor: {error}", file=sys.stderr)
        return 2
    return 0


def run_all(commands: list[list[str]], dry_run: bool) -> None:
    """Run commands of the system, or only say so.

    :raises InstallationError: one is not there, or fails.
    """
    for command in commands:
        print("run     ", *command)
        if not dry_run:
            run(command)

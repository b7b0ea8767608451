"""``replay-monitor check-config``: everything that is wrong with a configuration, or what it comes to."""

import argparse
from pathlib import Path

from monitor.cli.helping import explain
from monitor.config.check import check
from monitor.config.load import DEFAULT_PATH
from monitor.config.summary import summary


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help=f"the configuration (default {DEFAULT_PATH})",
    )
    explain(
        parser,
        "replay-monitor check-config",
        "replay-monitor check-config monitor.toml",
        status="0 it can be used (warnings included), 2 it cannot",
    )


def main(options: argparse.Namespace) -> int:
    """Print one line for each problem and warning, then, where there is no problem, a summary."""
    file: Path = options.file
    if file == DEFAULT_PATH and not file.exists():
        print(f"{file}: is not there (all is as by default then; 'replay-monitor install' writes it)")
        return 2
    found = check(file)
    for line in (*found.problems, *found.warnings):
        print(line)
    if found.problems or found.config is None:
        return 2
    print(f"{file}: ok")
    for line in summary(found.config):
        print(f"  {line}")
    return 0

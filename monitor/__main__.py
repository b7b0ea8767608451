"""``replay-monitor`` and ``python -m monitor``: find the command's file and call it."""

import argparse
import importlib
import os
import sys
from collections.abc import Collection
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from io import TextIOWrapper
from pathlib import Path

from monitor.cli.helping import Formatter, sentence

COMMANDS = {
    "run": "the daemon: rule on the packets of a netfilter queue",
    "replay": "rule on captures",
    "demo": "the replay attack, live, in network namespaces of its own",
    "simulate": "write captures of legitimate calls and of attacks",
    "rules": "show, apply or remove the kernel rules that feed the queue",
    "blocked": "list or clear the sources that the kernel blocks",
    "status": "how the running daemon is doing, once or live",
    "alerts": "the daemon's latest denials, alerts and exceptions",
    "associations": "list, show, forget or prune what is known of keys and envelopes",
    "evidence": "list, export or verify the messages kept as evidence",
    "install": "make this a service of the machine: units, configuration, user",
    "uninstall": "end the service and remove its files",
    "check-config": "check a configuration file and all that it names",
    "completion": "print what makes a shell complete these commands",
}

_UNWRITTEN = (EDQUOT, EFBIG, EIO, ENOSPC)


def parser(commands: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the command line; only of ``commands`` does it know the arguments."""
    made = argparse.ArgumentParser(
        prog="replay-monitor",
        description="Denies replayed SDES and S/MIME key material in SIP.",
        epilog="'replay-monitor COMMAND --help' tells more of each, with examples.",
        formatter_class=Formatter,
    )
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(name, help=summary, description=sentence(summary))
        if name in commands:
            module = importlib.import_module(f"monitor.cli.{name.replace('-', '_')}")
            module.arguments(sub)
            sub.set_defaults(main=module.main)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is the command's, 2 for bad usage or bad input."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # It was closed: the exit status tells all the same.
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):  # Not every locale, and no file name, is UTF-8.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _abandon_output()
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Commands tell of their files by name: without one it is standard output.
        if error.errno not in _UNWRITTEN or error.filename is not None:
            raise
        _abandon_output()
        print(f"replay-monitor: standard output: {error.strerror}", file=sys.stderr)
        return 2


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    made = parser((chosen,) if chosen else ())
    if not arguments:
        made.print_help(sys.stderr)
        return 2
    if chosen is not None and chosen not in COMMANDS:
        made.error(f"there is no command {chosen}{_near(chosen)}")
    options = made.parse_args(arguments)
    return int(options.main(options))


def _abandon_output() -> None:
    """Let nothing fail once more on what is still to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _near(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, 1)
    return f" (did you mean {near[0]}?)" if near else " (--help tells them)"


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from monitor.shipped import program_version

        print(f"{parser.prog} {program_version()}")
        parser.exit()


if __name__ == "__main__":
    raise SystemExit(main())

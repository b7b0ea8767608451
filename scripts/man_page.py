"""Write docs/man/replay-monitor.1 from the parsers of the command line."""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "man" / "replay-monitor.1"
sys.path.insert(0, str(ROOT))

from monitor.__main__ import parser  # noqa: E402
from monitor.cli.helping import COLUMN, EXAMPLES, STATUS  # noqa: E402
from monitor.config.load import DEFAULT_PATH  # noqa: E402
from monitor.config.model import ControlTable, SecretTable, StoreTable  # noqa: E402

_DESCRIPTION = """\
replay-monitor stands in front of SIP phones and servers and sees to it that a media key is used once: an
SDES master key (RFC 4568), or an S/MIME envelope (RFC 3261, section 23) that holds one, is denied when it
comes again where it must not.

It rules on live packets, as a daemon on a Linux netfilter queue (run), and on captures (replay); both by
the same code.
"""
_FILES = (
    (str(DEFAULT_PATH), "The configuration; all of it may be left out."),
    ("/etc/replay-monitor/keys/", "Private keys and certificates (PEM), where the configuration names it."),
    ("/etc/replay-monitor/rules.env", 'Options of the kernel rules, as RULES="--ports 5060,5080".'),
    (str(StoreTable().url).removeprefix("sqlite://"), "The store of associations."),
    (str(SecretTable().file), "The secret that fingerprints are made with."),
    (str(ControlTable().socket), "The socket on which the daemon is asked."),
    ("/var/log/replay-monitor/events.jsonl", "Rulings and exceptions, where the configuration names it."),
)
_SIGNALS = (
    ("SIGTERM, SIGINT", "The daemon rules on what is queued, lets go of the queue and ends."),
    (
        "SIGHUP",
        (
            "It begins a fresh file of events and reads policies, templates and trust again; they stay as"
            " they are where anything is wrong with them."
        ),
    ),
    ("SIGUSR1", "Ends or begins a rehearsed failure (run --simulate-failure)."),
)
_SEE_ALSO = (("nft", 8), ("iptables", 8), ("tcpdump", 8), ("systemctl", 1), ("journalctl", 1))


def page() -> str:
    """The manual page."""
    below = list(_commands(parser()))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    lines = [
        '.\\" Made by scripts/man_page.py from the parsers: edit those.',
        f'.TH REPLAY\\-MONITOR 1 "" "sip\\-replay\\-monitor {version}" "User Commands"',
        ".SH NAME",
        "replay\\-monitor \\- deny replayed SDES and S/MIME key material in SIP",
        ".SH SYNOPSIS",
        *(line for command in below if not _actions(command) for line in _synopsis(command)),
        ".SH DESCRIPTION",
        *_text(_DESCRIPTION),
        ".SH COMMANDS",
    ]
    for command in below:
        lines += [f".SS {_escaped(_name(command))}", *_text(command.description or "")]
        for action in command._actions:
            if not isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
                lines += _option(action)
        for paragraph in _paragraphs(command):
            lines += _text(paragraph)
    lines += [".SH FILES", *_listed(_FILES), ".SH EXIT STATUS"]
    lines += _text("2 stands for bad usage as well, and 130 for an interrupt from the keyboard.")
    lines += _listed(
        (_name(command), _paragraph(command, STATUS).removeprefix(STATUS).strip())
        for command in below
        if not _actions(command)
    )
    lines += [".SH SIGNALS", *_listed(_SIGNALS), ".SH EXAMPLES"]
    for command in below:
        if not _actions(command):
            lines += [
                ".PP",
                f"{_sentence(command)}:",
                *_shown(_paragraph(command, EXAMPLES).splitlines()[1:]),
            ]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{name}\\fR({section})" for name, section in _SEE_ALSO)]
    return "\n".join(line for before, line in pairwise(["", *lines]) if not _idle(before, line)) + "\n"


def _idle(before: str, line: str) -> bool:
    """A heading begins a paragraph by itself."""
    return line == ".PP" and before.startswith((".SH", ".SS"))


def _commands(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in _actions(of):
        for command in action.choices.values():
            yield command
            yield from _commands(command)


def _actions(of: argparse.ArgumentParser) -> list["argparse._SubParsersAction[argparse.ArgumentParser]"]:
    return [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]


def _name(command: argparse.ArgumentParser) -> str:
    return command.prog.partition(" ")[2]


def _sentence(command: argparse.ArgumentParser) -> str:
    first = (command.description or "").split("\n\n")[0]
    return _escaped(" ".join(first.split()).rstrip("."))


def _synopsis(command: argparse.ArgumentParser) -> list[str]:
    formatter = argparse.HelpFormatter(command.prog, width=10_000)
    formatter.add_usage(command.usage, command._actions, command._mutually_exclusive_groups, prefix="")
    usage = formatter.format_help().strip().removeprefix(command.prog).replace("[-h]", "").strip()
    return [".HP", f"\\fB{_escaped(command.prog)}\\fR {_escaped(usage)}".rstrip()]


def _option(action: argparse.Action) -> list[str]:
    names = [f"\\fB{_escaped(name)}\\fR" for name in action.option_strings]
    choices = action.choices if action.metavar is None and action.choices else None
    value = "|".join(map(str, choices)) if choices else str(action.metavar or action.dest)
    if action.nargs == 0:
        value = ""
    italic = f"\\fI{_escaped(value)}\\fR" if value else ""
    return [".TP", f"{', '.join(names)} {italic}".strip(), _escaped(action.help or "")]


def _paragraphs(command: argparse.ArgumentParser) -> list[str]:
    """What its help says beside examples and exit statuses."""
    said = (command.epilog or "").split("\n\n")
    return [each for each in said if each and not each.startswith((EXAMPLES, STATUS))]


def _paragraph(command: argparse.ArgumentParser, head: str) -> str:
    return next(each for each in (command.epilog or "").split("\n\n") if each.startswith(head))


def _listed(pairs: Iterable[Sequence[str]]) -> Iterator[str]:
    for name, meaning in pairs:
        yield from (".TP", f"\\fB{_escaped(name)}\\fR", _escaped(meaning))


def _text(text: str) -> Iterator[str]:
    for paragraph in text.strip("\n").split("\n\n"):
        for indented, group in groupby(paragraph.splitlines(), lambda line: line.startswith(" ")):
            lines = list(group)
            if not indented:
                yield from (".PP", *map(_escaped, lines))
            elif COLUMN.match(lines[0]):
                yield from _listed(re.split(" {2,}", line.strip(), maxsplit=1) for line in lines)
            else:
                yield from _shown(lines)


def _shown(lines: Iterable[str]) -> Iterator[str]:
    yield from (".PP", ".RS 4", ".nf", *(_escaped(line.strip()) for line in lines), ".fi", ".RE")


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    PAGE.write_text(page())

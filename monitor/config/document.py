"""One TOML file: its values, and the line of each of its keys."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.config.problem import ConfigError, Problem
from monitor.toml_lines import KeyPath, key_lines, line_of

SIZE = 1 << 20
"""Most octets of a configuration file."""

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is TOML."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    def problem(self, path: KeyPath, text: str) -> Problem:
        """A problem with the value at ``path``."""
        return Problem(self.path, line_of(self.lines, path), dotted(path), text)


def dotted(path: KeyPath) -> str:
    """A path as people write it, e.g. ``policy.relays[1]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def read_document(path: Path) -> Document:
    """Read a TOML file.

    :raises ConfigError: it cannot be read, is too long, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            octets = file.read(SIZE + 1)
    except OSError as error:
        raise ConfigError([Problem(path, 0, "", f"cannot be read: {error.strerror}")]) from error
    if len(octets) > SIZE:
        raise ConfigError([Problem(path, 0, "", f"is longer than {SIZE} octets")])
    try:
        text = octets.decode("utf-8-sig")  # editors that write a mark at the beginning mean nothing by it
        return Document(path, tomllib.loads(text), key_lines(text))
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(path, line, "", "is not UTF-8; save it as that")]) from error
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else octets.count(b"\n") + 1
        text = _PLACE.sub("", str(error))
        raise ConfigError([Problem(path, line, "", f"is not TOML: {text}")]) from error
    except RecursionError as error:
        raise ConfigError([Problem(path, 0, "", "is nested too deeply")]) from error

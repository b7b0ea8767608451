"""Single keys from the terminal, without waiting for a line."""

import os
import select
import sys
import termios
import tty
from typing import Self


class Keyboard:
    """The terminal's keys, as long as this context lasts."""

    def __init__(self) -> None:
        self._file = sys.stdin.fileno()

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        return self

    def __exit__(self, *_: object) -> None:
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def key(self, timeout: float | None) -> str:
        """The next key; empty where none comes within ``timeout`` seconds, ``q`` where none ever will."""
        if not select.select([self._file], [], [], timeout)[0]:
            return ""
        octets = os.read(self._file, 64)
        if len(octets) > 1 and octets[:1] == b"\x1b":  # an arrow or the like
            return ""
        return octets[:1].decode("ascii", "replace") if octets else "q"

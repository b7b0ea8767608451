"""Runs of sipp."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from namespaces import Host

Transport = Literal["udp", "tcp"]
MODES = {"udp": "u1", "tcp": "t1"}
RATE = 5
"""New calls a second."""
PATIENCE = 120
"""Seconds after which a run is over, its calls or not."""
T2, LAST = 4000, 32_000
"""Milliseconds: the most between two tries of what is no INVITE; when all are over (RFC 3261 §17.1)."""


class Sipp:
    """One end of a number of calls.

    :param lines: the fields of the scenario, a line for each call.
    :param user: who is called.
    :param peer: where the caller sends to; None for those called.
    :param calls: after how many it ends; None: when it is stopped.
    :param wait: milliseconds after which a message is first sent again.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        name: str,
        port: int,
        scenario: str,
        lines: Sequence[str],
        *,
        user: str = "",
        peer: str | None = None,
        calls: int | None = None,
        transport: Transport = "udp",
        ipv6: bool = False,
        wait: int = 4000,
    ) -> None:
        self.name, self.calls = name, calls or 0
        self._errors = folder / f"{name}.errors"
        (folder / f"{name}.xml").write_text(scenario)
        (folder / f"{name}.csv").write_text("SEQUENTIAL\n" + "".join(f"{line}\n" for line in lines))
        self.process = host.start(
            *("sipp", *((peer,) if peer else ()), "-nostdin", "-sf", f"{name}.xml", "-inf", f"{name}.csv"),
            *("-t", MODES[transport], "-i", host.address6 if ipv6 else host.address, "-p", str(port)),
            *("-s", user, "-r", str(RATE), *(("-m", str(calls)) if calls else ())),
            # Of media there is none; each binds a port for it all the same.
            *("-mp", str(20_000 + port * 4), "-timeout", str(PATIENCE - 20), "-timeout_error"),
            # What was not expected is passed over: on a busy machine messages overtake one another.
            *("-default_behaviors", "all,-abortunexp", "-recv_timeout", "60000"),
            # By default it gives up after a few tries, which with losses are sometimes not enough; with more
            # it goes on for longer than any transaction lasts.
            *("-max_invite_retrans", str(_tries(wait, LAST))),
            *("-max_non_invite_retrans", str(_tries(wait, T2))),
            *("-trace_err", "-error_file", str(self._errors)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def trouble(self) -> list[str]:
        """Wait for the end, and give what went wrong; nothing where every call succeeded."""
        status = self.process.wait(PATIENCE)
        if status == 0:
            return []
        said = self._errors.read_text(errors="replace") if self._errors.exists() else ""
        return [f"{self.name}: status {status}", *(line for line in said.splitlines() if "bort" in line)]


def _tries(wait: int, most: int) -> int:
    """How often a message is sent again in time, after ``wait``, and then after twice as long as before."""
    tries, at = 0, wait
    while at <= LAST:
        tries, wait = tries + 1, min(2 * wait, most)
        at += wait
    return tries

"""The programs that change the kernel's rules: nft, iptables, ipset."""

import subprocess

_TIMEOUT = 30
"""Seconds that a program may take."""


class NetfilterError(Exception):
    """The kernel rules could not be read or changed. One line, with the mend where it is known."""

    def __init__(self, detail: str, forbidden: bool = False) -> None:
        super().__init__(f"{detail} (this needs root)" if forbidden and "root" not in detail else detail)
        self.forbidden = forbidden


def run(*command: str, text: str | None = None) -> str:
    """What the program printed.

    :raises NetfilterError: it is not installed, failed, or took too long.
    """
    try:
        done = subprocess.run(
            command, input=text or "", capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise NetfilterError(f"{command[0]} is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetfilterError(f"{command[0]}: {error}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("#")]
        detail = next(
            (line for line in lines if "rror" in line), lines[0] if lines else f"exit {done.returncode}"
        )
        forbidden = "ermission denied" in done.stderr or "not permitted" in done.stderr
        raise NetfilterError(f"{command[0]}: {detail}", forbidden)
    return done.stdout

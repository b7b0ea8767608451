"""The machine that a run was made on, as far as it explains the figures."""

import os
import platform
import shutil
import sqlite3
import subprocess
from pathlib import Path

Description = dict[str, str | int | float]


def describe() -> Description:
    """What one would have to know to compare figures."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": f"{_release()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": _first_line("openssl", "version"),
        "tshark": _first_line("tshark", "--version"),
        "suricata": _first_line("suricata", "-V") or "not installed",
        "commit": _first_line("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _release() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).partition("\n")[0].strip()

"""A machine of its own for tests: a small Debian that is booted with systemd, in a host of a test network.

It is ``systemd-nspawn`` over a tree that ``scripts/make-tree`` makes once; what a machine writes goes to an
overlay and is gone with it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from namespaces import SLOWNESS, Host, wait_until

CACHE = Path("/var/cache/sip-replay-monitor-tests")
PREFIX = "/opt/replay-monitor/bin"


def release() -> str:
    """The code name of this machine's Debian or Ubuntu, which the tree is of too."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return next((line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME=")), "")


TREE = CACHE / release()


def is_this_one() -> bool:
    """Whether the tests run on a machine that was made for them, so that no other has to be booted."""
    return "MADE_FOR_TESTS" in os.environ


def unavailable() -> str | None:
    """Why no machine can be booted here, None where one can."""
    if is_this_one():
        return None
    if not TREE.is_dir():
        return f"needs {TREE} (make test-systemd makes it)"
    missing = [name for name in ("systemd-nspawn", "nsenter") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


class Machine:
    """One machine, booted when the constructor returns.

    :param host: its network.
    :param folder: what it writes goes here, on a file system that overlays can be put on.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        self._root = folder / "root"
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        layers = f"lowerdir={TREE},upperdir={folder}/upper,workdir={folder}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self._root)], check=True)
        self._log = folder / "console"
        try:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(
                    [
                        *("systemd-nspawn", "--quiet", "--boot", f"--directory={self._root}"),
                        *("--register=no", "--keep-unit", "--console=pipe", f"--machine={host.name}"),
                        *(f"--network-namespace-path=/run/netns/{host.name}", "--capability=CAP_NET_ADMIN"),
                    ],
                    env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            wait_until(self._up, "the machine to boot", 90, self._process)
        except BaseException:
            self.close()
            raise

    def _up(self) -> bool:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._init = children[0]
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _enter(self) -> tuple[str, ...]:
        return ("-t", self._init, "-m", "-u", "-i", "-p", "-n", "-C")

    def run(self, *command: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        clean = ("env", "-i", f"PATH={PREFIX}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
        done = subprocess.run(
            ["nsenter", *self._enter(), "--", *clean, *command],
            capture_output=True, text=True, timeout=timeout * SLOWNESS,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.told()}")
        return done

    def filters(self) -> bool:
        """Whether its kernel lets systemd say to which addresses a service may speak (IPAddressDeny=)."""
        speak = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))"
        confined = ("systemd-run", "--quiet", "--wait", "--property=IPAddressDeny=any")
        return self.run(*confined, "/usr/bin/python3", "-c", speak, check=False).returncode != 0

    def path(self, inside: str) -> Path:
        """A file of it, as seen from outside."""
        return self._root / inside.removeprefix("/")

    def show(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", what, "--value", unit).stdout.strip()

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of the journal that match, with all their fields."""
        lines = self.run("journalctl", "--quiet", "--output=json", *matches).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def told(self) -> str:
        """The end of the service's journal."""
        return self.run(
            "journalctl", "--quiet", "--no-pager", "-n", "40", "-u", "replay-monitor*", check=False
        ).stdout

    def status(self) -> dict[str, Any]:
        """What ``replay-monitor status`` says."""
        done = self.run("replay-monitor", "status", "--json", check=False)
        assert done.stdout, f"{done.stderr}\n{self.told()}"
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def close(self) -> None:
        """Power it off, and remove what it wrote."""
        if hasattr(self, "_init"):
            self.run("systemctl", "poweroff", "--force", "--force", check=False)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        subprocess.run(["umount", "--lazy", str(self._root)], check=False)
        shutil.rmtree(self._root.parent, ignore_errors=True)


class ThisMachine(Machine):
    """The one that the tests run on; it has the network of one of their hosts.

    :param host: its network: the units are told so, and that all takes longer here.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        network = f"[Service]\nNetworkNamespacePath=/run/netns/{host.name}\n"
        patience = f"WatchdogSec={20 * SLOWNESS}\nTimeoutStartSec={90 * SLOWNESS}\n"
        for unit, told in (
            ("replay-monitor", network + patience),
            ("replay-monitor@", network + patience),
            ("replay-monitor-rules", network),
        ):
            more = Path(f"/etc/systemd/system/{unit}.service.d/network.conf")
            more.parent.mkdir(exist_ok=True)
            more.write_text(told)

    def _enter(self) -> tuple[str, ...]:
        return (f"--net=/run/netns/{self._host.name}",)

    def path(self, inside: str) -> Path:
        """A file of it."""
        return Path(inside)

    def close(self) -> None:
        """Leave it as it is: it was made for this."""

"""The daemon as a service of the machine: which files where, and what becomes of those that are there.

Units and the like are ours: they are replaced, and removed in the end. Configuration is the operator's: a
file that was edited is kept, with what it would be by default beside it as ``.new``.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from monitor.shipped import manual, shipped, units

PROGRAM = "/usr/bin/replay-monitor"
"""Where the units that come with us look for the command."""
CONFIGURATION = Path("etc/replay-monitor")
STATE = Path("var/lib/replay-monitor")
LOGS = Path("var/log/replay-monitor")
COMPLETIONS = {
    "bash": "bash-completion/completions/replay-monitor",
    "zsh": "zsh/site-functions/_replay-monitor",
    "fish": "fish/vendor_completions.d/replay-monitor.fish",
}
"""Where shells look, below ``share``."""
SERVICES = ("replay-monitor.service", "replay-monitor-rules.service")
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Directories that the service does not see (ProtectHome=, PrivateTmp=)."""


class InstallationError(Exception):
    """It cannot be installed or removed. One line, with the mend."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done, or would be."""

    verb: str
    path: Path
    note: str = ""

    def __str__(self) -> str:
        return f"{self.verb:<8} {self.path}" + (f"  ({self.note})" if self.note else "")


class Installation:
    """The service's files below ``root``.

    :param root: ``/``, or where a package is put together.
    :param prefix: where units and the like go, as seen from ``root``.
    :param program: the command that the units call; a link to it is made in the prefix's ``bin``.
    :param completion: what a shell, by its name, reads to complete the command.
    """

    def __init__(self, root: Path, prefix: Path, program: Path, completion: Callable[[str], str]) -> None:
        self._root = root
        self._prefix = root / prefix.relative_to("/")
        self._program = program
        self._completion = completion
        self._link = self._prefix / "bin/replay-monitor"
        self._linked = prefix / "bin/replay-monitor" != program
        self._record = self._prefix / "share/replay-monitor/installed.json"
        """What was written where, as SHA-256: tells what was edited since."""

    def install(self, dry_run: bool) -> Iterator[Step]:
        """Put the files in place, or only say so.

        :raises InstallationError: the service could not run the program, or a file cannot be written.
        """
        self._check_program()
        written = self._read_record()
        for directory, mode in ((CONFIGURATION, 0o755), (CONFIGURATION / "keys", 0o700)):
            if not (self._root / directory).is_dir():
                yield Step("make", self._root / directory)
                if not dry_run:
                    self._make_directory(self._root / directory, mode)
        for path, made in self._ours().items():
            yield self._put(path, made(), written, dry_run)
        if self._linked:
            yield self._put_link(dry_run)
        for path, text in self._configuration().items():
            yield self._put_configuration(path, text, written, dry_run)
        if not dry_run:
            self._write(self._record, json.dumps(written, indent=1, sort_keys=True) + "\n")

    def uninstall(self, dry_run: bool, purge: bool) -> Iterator[Step]:
        """Remove the files, or only say so; state and edited configuration stay unless ``purge``.

        :raises InstallationError: a file cannot be removed.
        """
        written = self._read_record()
        paths = [*self._ours(), *self._configuration()]
        for path in paths:
            new = path.with_name(f"{path.name}.new")
            if new.exists():
                yield self._remove(new, dry_run)
            if not path.exists():
                continue
            if path in self._configuration() and not purge and _hash(path) != written.get(str(path)):
                yield Step("keep", path, "edited")
            else:
                yield self._remove(path, dry_run)
        if self._link.is_symlink():
            yield self._remove(self._link, dry_run)
        if self._record.exists():
            yield self._remove(self._record, dry_run)
        for directory in (STATE, LOGS):
            if (self._root / directory).is_dir():
                yield (
                    self._remove_tree(self._root / directory, dry_run)
                    if purge
                    else Step("keep", self._root / directory, "--purge removes it")
                )
        for directory in (self._root / CONFIGURATION / "keys", self._root / CONFIGURATION):
            yield from self._remove_if_empty(directory, dry_run)

    def commands_after(self) -> list[list[str]]:
        """What is to be run on this machine once the files are in place."""
        made = [
            ["systemd-sysusers", str(self._prefix / "lib/sysusers.d/replay-monitor.conf")],
            ["systemd-tmpfiles", "--create", str(self._prefix / "lib/tmpfiles.d/replay-monitor.conf")],
        ]
        return [*made, ["systemctl", "daemon-reload"]] if _systemd_runs() else made

    def commands_before_removal(self) -> list[list[str]]:
        """What is to be run on this machine before the files go; nothing where they have gone."""
        unit = self._prefix / "lib/systemd/system" / SERVICES[0]
        if not unit.exists() or not _systemd_runs():
            return []
        return [
            ["systemctl", "stop", "replay-monitor@*.service"],
            ["systemctl", "disable", "--now", *SERVICES],
            ["systemctl", "disable", "replay-monitor@.service"],
        ]

    def _check_program(self) -> None:
        if str(self._program).startswith(tuple(f"{hidden}/" for hidden in HIDDEN)):
            raise InstallationError(
                f"{self._program}: the service does not see this directory; install the package elsewhere"
                " (python3 -m venv /opt/replay-monitor)"
            )
        if self._root == Path("/") and not os.access(self._program, os.X_OK):
            raise InstallationError(f"{self._program}: is no command (name it by --program)")

    def _ours(self) -> dict[Path, Callable[[], str]]:
        """Units and the like, and how each is made."""
        lib = self._prefix / "lib"
        files = {lib / "systemd/system" / unit.name: unit for unit in sorted(units().glob("*.service"))}
        for kind in ("sysusers", "tmpfiles"):
            files[lib / f"{kind}.d" / "replay-monitor.conf"] = units() / f"replay-monitor.{kind}"
        share = self._prefix / "share"
        return {
            **{path: partial(self._unit, file) for path, file in files.items()},
            share / "man/man1/replay-monitor.1": (manual() / "replay-monitor.1").read_text,
            **{share / name: partial(self._completion, shell) for shell, name in COMPLETIONS.items()},
        }

    def _unit(self, file: Path) -> str:
        return file.read_text().replace(PROGRAM, str(self._program))

    def _configuration(self) -> dict[Path, str]:
        return {
            self._root / CONFIGURATION / "replay-monitor.toml": shipped("replay-monitor.toml").read_text(),
            self._root / "etc/logrotate.d/replay-monitor": (units() / "replay-monitor.logrotate").read_text(),
        }

    def _put(self, path: Path, text: str, written: dict[str, str], dry_run: bool) -> Step:
        if path.exists() and path.read_text() == text:
            written[str(path)] = _digest(text)
            return Step("same", path)
        step = Step("replace" if path.exists() else "write", path)
        if not dry_run:
            self._write(path, text)
        written[str(path)] = _digest(text)
        return step

    def _put_link(self, dry_run: bool) -> Step:
        """Let the command be found on everybody's path."""
        note = f"to {self._program}"
        if self._link.is_symlink() and self._link.readlink() == self._program:
            return Step("same", self._link, note)
        if self._link.exists() and not self._link.is_symlink():
            return Step("keep", self._link, "it is no link of ours")
        step = Step("replace" if self._link.is_symlink() else "link", self._link, note)
        if not dry_run:
            with _permitted(self._link):
                self._link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                self._link.unlink(missing_ok=True)
                self._link.symlink_to(self._program)
        return step

    def _put_configuration(self, path: Path, text: str, written: dict[str, str], dry_run: bool) -> Step:
        new = path.with_name(f"{path.name}.new")
        edited = path.exists() and _hash(path) not in (written.get(str(path)), _digest(text))
        if not edited:
            return self._put(path, text, written, dry_run)
        if written.get(str(path)) == _digest(text) or (new.exists() and new.read_text() == text):
            return Step("keep", path, "edited")
        if not dry_run:
            self._write(new, text)
        return Step("keep", path, f"edited; what it is by default now is {new.name}")

    def _read_record(self) -> dict[str, str]:
        if not self._record.is_file():
            return {}
        try:
            record: dict[str, str] = json.loads(self._record.read_text())
        except (OSError, ValueError) as error:
            raise InstallationError(f"{self._record}: cannot be read (remove it)") from error
        return record

    def _write(self, path: Path, text: str) -> None:
        """Put a file in place whole: who reads it meanwhile reads the old one or the new one."""
        fresh = path.with_name(f".{path.name}.fresh")
        with _permitted(path):
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fresh.write_text(text)
            fresh.chmod(0o644)
            fresh.rename(path)

    def _make_directory(self, path: Path, mode: int) -> None:
        with _permitted(path):
            path.mkdir(parents=True)
            path.chmod(mode)

    def _remove(self, path: Path, dry_run: bool) -> Step:
        if not dry_run:
            with _permitted(path):
                path.unlink()
        return Step("remove", path)

    def _remove_tree(self, path: Path, dry_run: bool) -> Step:
        if not dry_run:
            with _permitted(path):
                shutil.rmtree(path)
        return Step("remove", path, "and all in it")

    def _remove_if_empty(self, path: Path, dry_run: bool) -> Iterator[Step]:
        if not path.is_dir():
            return
        if any(path.iterdir()):
            yield Step("keep", path, "it is not empty")
        elif not dry_run:
            path.rmdir()
            yield Step("remove", path)


@contextmanager
def _permitted(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InstallationError(f"{path}: {error.strerror} (run this as root)") from error


def run(command: list[str]) -> None:
    """Run a command of the system.

    :raises InstallationError: it is not there, or fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise InstallationError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise InstallationError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def _systemd_runs() -> bool:
    return Path("/run/systemd/system").is_dir()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""The Debian package on a booted system: installed, upgraded, removed, purged; one test follows another."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import town as towns
from daemon import ROOT
from machine import Machine
from town import CONFIG, UNIT, Town

pytestmark = [pytest.mark.live, pytest.mark.booted]
PACKAGE = "sip-replay-monitor"
HOME = f"/usr/lib/{PACKAGE}"
LOGROTATE = "/etc/logrotate.d/replay-monitor"
NEXT = "99.1"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A machine with nothing of ours on it."""
    with towns.town(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package of this checkout, and the next version of it, in which the configuration files differ."""
    missing = [name for name in ("dpkg-deb", "dpkg-shlibdeps", "strip") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("packages")
    pip = {"PIP": str(Path(sys.executable).with_name("pip"))}
    built = [str(ROOT / "scripts/make-deb"), str(folder)]
    subprocess.run(built, check=True, capture_output=True, env={**os.environ, **pip})
    (first,) = folder.glob("*.deb")
    tree, second = folder / "tree", folder / "next.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", str(first), str(tree)], check=True)
    (metadata,) = tree.glob("usr/lib/*/lib/*/site-packages/sip_replay_monitor-*/METADATA")
    for file in (tree / "DEBIAN/control", metadata):
        file.write_text(re.sub("(?m)^Version: .*", f"Version: {NEXT}", file.read_text(), count=1))
    for name in (CONFIG, LOGROTATE):
        with (tree / name.removeprefix("/")).open("a") as file_:
            file_.write(f"# {NEXT}\n")
    build = ("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(second))
    subprocess.run(build, check=True, capture_output=True)
    return first, second


def install(machine: Machine, package: Path) -> None:
    """As apt would, for somebody who keeps what he has edited."""
    target = machine.path(f"/root/{package.name}")
    shutil.copy(package, target)
    machine.run("dpkg", "--install", "--force-confold", f"/root/{package.name}", timeout=120)
    target.unlink()


def test_it_is_installed_and_starts_nothing(town: Town, packages: tuple[Path, Path]) -> None:
    machine = town.machine
    install(machine, packages[0])
    assert (machine.show(UNIT, "ActiveState"), machine.show(UNIT, "UnitFileState")) == (
        "inactive",
        "disabled",
    )
    assert machine.run("dpkg", "--verify", PACKAGE).stdout == ""
    kept = machine.run("dpkg-query", "--show", "--showformat=${Conffiles}", PACKAGE).stdout.split()[::2]
    assert sorted(kept) == [LOGROTATE, CONFIG]
    places = ("/etc/replay-monitor/keys", "/var/lib/replay-monitor", "/var/log/replay-monitor")
    owned = machine.run("stat", "--format=%U %G %a", *places).stdout.splitlines()
    assert owned == [
        "root root 700",
        "replay-monitor replay-monitor 700",
        "replay-monitor replay-monitor 750",
    ]
    listed = machine.run("dpkg", "--listfiles", PACKAGE).stdout.splitlines()
    assert "/usr/share/man/man1/replay-monitor.1.gz" in listed
    assert "/usr/share/bash-completion/completions/replay-monitor" in listed
    assert machine.run("find", HOME, "-name", "pipeline*.pyc").stdout, (
        "byte code, which the service cannot write"
    )
    town.passes(town.plain())


def test_it_runs_confined_and_rules(town: Town) -> None:
    town.prepare()
    told = town.machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout.splitlines()[-1]
    assert float(told.partition(": ")[2].split()[0]) <= 1.5
    recorded = town.sealed()
    town.passes(recorded)
    town.passes(recorded)
    town.denied(recorded, "source-changed")
    town.denied(recorded.replace(b"Call-ID: ", b"Call-ID: x"), "envelope-reused")


def test_an_upgrade_renews_the_daemon_and_nothing_is_lost_for_good(
    town: Town, packages: tuple[Path, Path]
) -> None:
    machine, before = town.machine, town.pid()
    recorded = town.sealed()
    town.passes(recorded)
    town.configure("#moves = false", "moves = false")
    with town.calling() as sent:
        town.further(sent, 50)
        install(machine, packages[1])
        town.up_again(before)
        town.further(sent, 50)
    town.all_arrive_if_sent_again(sent)
    assert town.rulings(town.bob)["deny"] == 0
    assert machine.status()["version"] == NEXT
    assert "\nmoves = false\n" in machine.path(CONFIG).read_text()
    assert machine.path(f"{CONFIG}.dpkg-dist").read_text().endswith(f"# {NEXT}\n")
    assert machine.path(LOGROTATE).read_text().endswith(f"# {NEXT}\n"), "nobody had edited it"
    town.denied(recorded, "source-changed")
    town.denied(sent[0], "source-changed")


def test_removal_loses_no_call_and_keeps_what_is_the_operators(town: Town) -> None:
    machine = town.machine
    with town.calling() as sent:
        town.further(sent, 50)
        machine.run("dpkg", "--remove", PACKAGE)
        town.further(sent, 50)
    town.all_arrived(sent)
    assert machine.show(UNIT, "LoadState") == "not-found"
    assert "NFQUEUE" not in machine.run("iptables-save").stdout
    assert not machine.path(HOME).exists()
    for kept in (CONFIG, "/var/lib/replay-monitor/associations.db", "/etc/replay-monitor/keys/ca.pem"):
        assert machine.path(kept).exists()


def test_purging_removes_the_state_and_never_keys(town: Town, packages: tuple[Path, Path]) -> None:
    machine = town.machine
    recorded = town.sealed()
    town.passes(recorded)
    install(machine, packages[1])
    town.prepare()
    town.passes(recorded)
    town.denied(recorded, "source-changed")
    machine.run("dpkg", "--purge", PACKAGE)
    for gone in (CONFIG, LOGROTATE, "/var/lib/replay-monitor", "/var/log/replay-monitor", HOME):
        assert not machine.path(gone).exists(), gone
    assert machine.path("/etc/replay-monitor/keys/ca.pem").exists()
    town.passes(town.plain())

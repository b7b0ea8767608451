"""What holds the project together outside the code: shipped files, make targets, documents, packages."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from wheel import build_wheel

from monitor.__main__ import COMMANDS
from monitor.enforce.ruleset import Ruleset

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALL = ROOT / "scripts/install-packages"
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("nftables/replay-monitor.nft", Ruleset().nft()),
        ("iptables/replay-monitor.rules4", Ruleset().iptables(4)),
        ("iptables/replay-monitor.rules6", Ruleset().iptables(6)),
    ],
)
def test_shipped_kernel_rules_are_what_the_command_shows(file: str, text: str) -> None:
    assert (ROOT / "rules" / file).read_text() == text


@pytest.mark.parametrize("document", [*DOCUMENTS, *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))])
def test_links_of_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", path.read_text()):
        name, _, heading = link.partition("#")
        if "://" in link:
            continue
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not heading or heading in _anchors(target), link


def _anchors(document: Path) -> set[str]:
    """How links name the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_documents_name_only_commands_and_targets_that_exist() -> None:
    text = "".join((ROOT / document).read_text() for document in DOCUMENTS)
    commands = set(re.findall(r"replay-monitor ([a-z][a-z-]+)", text))
    assert commands
    assert commands <= set(COMMANDS)
    targets = set(re.findall(r"`?(?:^|sudo |`)make ([a-z-]+)", text, re.MULTILINE))
    assert {"setup", "demo", "test", "lint"} <= targets
    assert targets <= set(_targets())


def test_readme_shows_what_the_command_prints() -> None:
    text = (ROOT / "README.md").read_text()
    arguments = re.findall(r"^\.venv/bin/replay-monitor (replay .+)$", text, re.MULTILINE)[0].split()
    shown = re.findall(r"```text\n(.+?)```", text, re.DOTALL)[0]
    wide = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "monitor", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=wide, capture_output=True, text=True)
    assert [line.split() for line in shown.splitlines()] == [
        line.split() for line in done.stdout.partition("\n\n")[0].splitlines()
    ]


def _targets() -> list[str]:
    return re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_tells_what_each_target_does() -> None:
    told = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory"], capture_output=True, text=True, check=True
    )
    told_of = [line.split()[1] for line in told.stdout.splitlines()]
    assert told_of == _targets()
    assert all(len(line.split()) > 3 for line in told.stdout.splitlines())


def test_package_list_is_well_formed() -> None:
    lines = (ROOT / "scripts/packages").read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert entries
    usual = re.compile(r"(run|test|boot|emulate|deb|bench) +[a-z0-9][a-z0-9+.-]+\??")
    assert all(map(usual.fullmatch, entries))


@pytest.mark.parametrize(
    "script",
    [
        "scripts/install-packages",
        "scripts/with-backports",
        "scripts/make-venv",
        "scripts/make-tree",
        "scripts/make-kernel",
        "scripts/make-deb",
        ".ci/run",
    ],
)
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    subprocess.run([shell, "-n", path], check=True)


def test_packages_that_are_there_are_not_installed_again(tmp_path: Path) -> None:
    path = _stand_ins(tmp_path, installed=True)
    done = subprocess.run([INSTALL, "run", "test"], env=path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_missing_packages_are_named_and_a_failure_is_one(tmp_path: Path) -> None:
    path = _stand_ins(tmp_path, installed=False)
    done = subprocess.run([INSTALL, "run"], env=path, capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(r"packages missing for 'run': .*python3-venv", done.stdout)


def _stand_ins(folder: Path, installed: bool) -> dict[str, str]:
    """An environment in which apt-get and sudo fail and dpkg-query knows all packages, or none."""
    for name in ("apt-get", "sudo", "dpkg-query"):
        answer = "printf installed" if name == "dpkg-query" and installed else "exit 9"
        (folder / name).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_version_is_known_to_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog or f"## [{PROJECT['project']['version']}]" in changelog


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with nothing of ours in it but the wheel that was built."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder)
    venv.create(folder / "venv", symlinks=True)
    (packages,) = (folder / "venv/lib").glob("python3*/site-packages")
    # What it depends on is lent; an editable installation there is not followed from here.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(folder / "venv/bin/python")]
    subprocess.run([*pip, "install", "--no-deps", str(wheel)], check=True, capture_output=True)
    return folder / "venv/bin"


def _run(programs: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(programs / "replay-monitor"), *arguments]
    return subprocess.run(command, cwd=cwd, env=bare, capture_output=True, text=True)


def test_the_wheel_alone_rules_on_a_capture_as_the_checkout_does(installed: Path, tmp_path: Path) -> None:
    arguments = (
        "replay",
        "--json",
        "--keys",
        str(ROOT / "pcaps/keys"),
        str(ROOT / "pcaps/4-replay-attack.pcap"),
    )
    there = _run(installed, *arguments, cwd=tmp_path)
    here = subprocess.run(
        [sys.executable, "-m", "monitor", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert (there.returncode, there.stdout) == (1, here.stdout)
    assert _run(installed, "--help", cwd=tmp_path).returncode == 0


def test_the_wheel_alone_can_be_installed_as_a_service(installed: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    program = ("--program", "/opt/replay-monitor/bin/replay-monitor")
    done = _run(installed, "install", "--root", str(root), *program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    units = {path.name for path in (root / "usr/local/lib/systemd/system").iterdir()}
    assert units == {path.name for path in (ROOT / "systemd").glob("*.service")}
    config = root / "etc/replay-monitor/replay-monitor.toml"
    config.write_text(re.sub(r"(?m)^file = .*", "", config.read_text()))
    checked = _run(installed, "check-config", str(config), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_the_wheel_has_all_files_that_come_with_us(installed: Path) -> None:
    (package,) = installed.parent.glob("lib/python3*/site-packages/monitor")
    for part in ("rules", "systemd", "docs/man"):
        ours, theirs = (
            {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
            for folder in (ROOT / part, package / part)
        )
        assert ours == theirs

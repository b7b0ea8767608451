"""The service's files: put in place, kept, replaced, removed."""

from pathlib import Path

import pytest

from monitor import installation as installation_module
from monitor.__main__ import main
from monitor.installation import COMPLETIONS, Installation, InstallationError, Step

PROGRAM = Path("/opt/replay-monitor/bin/replay-monitor")
LINK = "usr/local/bin/replay-monitor"
UNIT = "usr/local/lib/systemd/system/replay-monitor.service"
CONFIG = "etc/replay-monitor/replay-monitor.toml"


def install(root: Path, dry_run: bool = False) -> list[Step]:
    return list(Installation(root, Path("/usr/local"), PROGRAM, str).install(dry_run))


def uninstall(root: Path, purge: bool = False, dry_run: bool = False) -> list[Step]:
    return list(Installation(root, Path("/usr/local"), PROGRAM, str).uninstall(dry_run, purge))


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration that comes with us, for a test to change."""
    path = tmp_path / "shipped.toml"
    path.write_text("# version 1\n")
    monkeypatch.setattr(installation_module, "shipped", lambda name: path)
    return path


def test_everything_is_put_in_place_once(tmp_path: Path) -> None:
    assert {step.verb for step in install(tmp_path)} == {"make", "write", "link"}
    files = contents(tmp_path)
    assert f"ExecStart={PROGRAM} run --config" in files[UNIT]
    assert not any("/usr/bin/replay-monitor" in text for text in files.values())
    assert {name.rpartition("/")[2] for name in files} == {
        *("replay-monitor.service", "replay-monitor@.service", "replay-monitor-rules.service"),
        *("replay-monitor.conf", "replay-monitor.toml", "replay-monitor", "installed.json"),
        *("replay-monitor.1", "_replay-monitor", "replay-monitor.fish"),
    }
    assert {shell: files[f"usr/local/share/{name}"] for shell, name in COMPLETIONS.items()} == {
        shell: shell for shell in COMPLETIONS
    }
    assert files["usr/local/share/man/man1/replay-monitor.1"].startswith(".")
    assert (tmp_path / LINK).readlink() == PROGRAM
    assert (tmp_path / "etc/replay-monitor/keys").stat().st_mode & 0o777 == 0o700
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o644 for name in files)
    assert {step.verb for step in install(tmp_path)} == {"same"}
    assert contents(tmp_path) == files


def test_a_dry_run_says_the_same_and_does_nothing(tmp_path: Path) -> None:
    said = install(tmp_path, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert install(tmp_path) == said
    files = contents(tmp_path)
    said = uninstall(tmp_path, dry_run=True)
    assert contents(tmp_path) == files
    assert {step.path for step in said if step.verb == "remove"} >= {
        tmp_path / name for name in (*files, LINK)
    }


def test_a_command_that_is_there_is_kept_and_a_link_follows_the_program(tmp_path: Path) -> None:
    link = tmp_path / LINK
    link.parent.mkdir(parents=True)
    link.write_text("#!/bin/sh\n")
    install(tmp_path)
    uninstall(tmp_path)
    assert link.read_text() == "#!/bin/sh\n"
    link.unlink()
    link.symlink_to("/opt/older/bin/replay-monitor")
    assert Step("replace", link, f"to {PROGRAM}") in install(tmp_path)
    assert link.readlink() == PROGRAM
    uninstall(tmp_path)
    assert not link.is_symlink()
    own = Installation(tmp_path, Path("/usr"), Path("/usr/bin/replay-monitor"), str)
    assert not [step for step in own.install(True) if step.verb == "link"]


def test_an_upgrade_replaces_units_and_a_configuration_that_nobody_edited(
    tmp_path: Path, shipped: Path
) -> None:
    root = tmp_path / "root"
    install(root)
    (root / UNIT).write_text("[Unit]\n")
    shipped.write_text("# version 2\n")
    assert sorted(step.verb for step in install(root) if step.verb != "same") == ["replace", "replace"]
    assert (root / CONFIG).read_text() == "# version 2\n"
    assert "ExecStart" in (root / UNIT).read_text()


def test_an_upgrade_keeps_a_configuration_that_was_edited(tmp_path: Path, shipped: Path) -> None:
    root = tmp_path / "root"
    install(root)
    (root / CONFIG).write_text("# mine\n")
    install(root)
    assert not (root / f"{CONFIG}.new").exists(), "nothing new has come with us"
    shipped.write_text("# version 2\n")
    for _ in range(2):
        steps = [step for step in install(root) if step.verb == "keep"]
        assert [step.path for step in steps] == [root / CONFIG]
        assert (root / CONFIG).read_text() == "# mine\n"
        assert (root / f"{CONFIG}.new").read_text() == "# version 2\n"


def test_one_that_was_there_before_is_kept(tmp_path: Path, shipped: Path) -> None:
    (tmp_path / CONFIG).parent.mkdir(parents=True)
    (tmp_path / CONFIG).write_text("# before\n")
    install(tmp_path)
    assert (tmp_path / CONFIG).read_text() == "# before\n"
    assert (tmp_path / f"{CONFIG}.new").exists()


def test_removal_leaves_nothing_but_what_is_the_operators(tmp_path: Path) -> None:
    install(tmp_path)
    uninstall(tmp_path)
    assert contents(tmp_path) == {}
    assert not (tmp_path / "etc/replay-monitor").exists()
    install(tmp_path)
    state, key = tmp_path / "var/lib/replay-monitor/secret", tmp_path / "etc/replay-monitor/keys/alice.pem"
    state.parent.mkdir(parents=True)
    state.write_text("secret")
    key.write_text("key")
    (tmp_path / CONFIG).write_text("# mine\n")
    kept = [step.path for step in uninstall(tmp_path) if step.verb == "keep"]
    assert contents(tmp_path).keys() == {
        str(each.relative_to(tmp_path)) for each in (state, key, tmp_path / CONFIG)
    }
    assert tmp_path / CONFIG in kept
    assert state.parent in kept
    uninstall(tmp_path, purge=True)
    assert contents(tmp_path) == {str(key.relative_to(tmp_path)): "key"}


def test_a_program_that_the_service_cannot_see_is_refused(tmp_path: Path) -> None:
    hidden = Installation(tmp_path, Path("/usr/local"), Path("/home/me/venv/bin/replay-monitor"), str)
    with pytest.raises(InstallationError, match="does not see"):
        list(hidden.install(True))
    absent = Installation(Path("/"), Path("/usr/local"), Path("/opt/nowhere/replay-monitor"), str)
    with pytest.raises(InstallationError, match="is no command"):
        list(absent.install(True))


def test_the_commands_tell_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--root", str(tmp_path / "root")]
    assert main(["install", *options, "--program", str(PROGRAM), "--prefix", "/usr"]) == 0
    told = capsys.readouterr().out
    assert f"write    {tmp_path}/root/usr/lib/systemd/system/replay-monitor.service\n" in told
    assert "run " not in told
    assert main(["uninstall", *options, "--prefix", "/usr", "--purge"]) == 0
    assert contents(tmp_path) == {}
    capsys.readouterr()
    (tmp_path / "file").write_text("")
    assert main(["install", "--root", str(tmp_path / "file"), "--program", str(PROGRAM)]) == 2
    assert "(run this as root)" in capsys.readouterr().err

"""``replay-monitor simulate``."""

from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.capture.pcap import open_capture
from monitor.config.load import load
from monitor.simulate import keyring
from monitor.simulate.packets import LINK_TYPES, Link
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"


def simulate(*arguments: str) -> int:
    return main(["simulate", "--keys", str(KEYS), *arguments])


def test_list_tells_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--list") == 0
    told = capsys.readouterr().out
    for recipe in RECIPES.values():
        assert recipe.name in told
        assert recipe.story, recipe.name


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@pytest.mark.parametrize("link", LINK_TYPES)
def test_what_is_written_reads_as_it_was(tmp_path: Path, form: str, link: Link) -> None:
    names = ["verbatim-by-tcp", "sealed-call"]
    assert simulate("--out", str(tmp_path), "--format", form, "--link", link, *names) == 0
    for name in names:
        scenario = RECIPES[name].made(Setting(keyring.load(KEYS), link=link))
        with open_capture(str(tmp_path / f"{name}.{form}"), 1) as capture:
            assert tuple(capture) == scenario.frames


def test_seed_changes_what_is_written(tmp_path: Path) -> None:
    for seed in ("0", "0", "1"):
        folder = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        assert simulate("--out", str(folder), "--seed", seed, "verbatim") == 0
    first, again, other = (path.read_bytes() for path in sorted(tmp_path.rglob("*.pcap")))
    assert first == again != other


def test_one_file_has_all_in_turn(tmp_path: Path) -> None:
    out = tmp_path / "both.pcapng"
    assert simulate("--out", str(out), "verbatim", "plain-call") == 0
    with open_capture(str(out), 1) as capture:
        frames = list(capture)
    setting = Setting(keyring.load(KEYS))
    assert len(frames) == sum(len(RECIPES[name].made(setting).frames) for name in ("verbatim", "plain-call"))
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)


def test_standard_output_is_the_capture_alone(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert simulate("--out", "-", "verbatim") == 0
    written = capfdbinary.readouterr()
    (tmp_path / "out.pcap").write_bytes(written.out)
    with open_capture(str(tmp_path / "out.pcap"), 1) as capture:
        assert tuple(capture) == RECIPES["verbatim"].made(Setting(keyring.load(KEYS))).frames
    assert b"verbatim" in written.err


def test_the_configuration_beside_a_capture_is_the_scenarios_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert simulate("--out", str(tmp_path)) == 0
    assert "…" not in capsys.readouterr().out, "80 columns are enough"
    written = {path.stem for path in tmp_path.glob("*.toml")}
    for recipe in RECIPES.values():
        if recipe.name in written:
            policy = load(tmp_path / f"{recipe.name}.toml").policies.choose(bytes(4), "", 0, "INVITE")
            assert policy == recipe.policy, recipe.name
        else:
            assert recipe.policy.relays == recipe.policy.b2bua == frozenset(), recipe.name
    assert written


def test_keys_are_made_where_there_are_none(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert main(["simulate", "--keys", str(keys), "--out", str(tmp_path / "out"), "sealed-call"]) == 0
    made = sorted(path.name for path in keys.iterdir())
    assert made == sorted(path.name for path in KEYS.iterdir() if path.suffix == ".pem")
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys.glob("*-key.pem"))


def test_an_unknown_scenario_is_bad_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert simulate("--out", str(tmp_path), "verbatm") == 2
    assert "did you mean verbatim?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--out", "/proc/nowhere/x.pcap", "verbatim") == 2
    assert "/proc/nowhere" in capsys.readouterr().err

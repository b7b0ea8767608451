"""The block set as nft and ipset are asked for it, with stand-ins for them."""

from pathlib import Path

import pytest

from monitor.enforce import blockset
from monitor.enforce.blockset import Blocked
from monitor.enforce.programs import NetfilterError
from monitor.enforce.source import Source

SOURCES = [Source.read(each) for each in ("192.0.2.66", "2001:db8::/64", "192.0.2.67")]
NFT_LISTING = """{"nftables": [{"metainfo": {}}, {"set": {"name": "blocked", "elem": [
{"elem": {"val": "192.0.2.66", "timeout": 600, "expires": 42}},
{"elem": {"val": {"prefix": {"addr": "2001:db8::", "len": 64}}, "timeout": 600, "expires": 43}}]}}]}"""


class Programs:
    """A folder that is the whole PATH, with scripts that stand in for programs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, script: str) -> None:
        program = self._folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    @property
    def told(self) -> str:
        """What the scripts were told."""
        calls = self._folder / "calls"
        return calls.read_text() if calls.exists() else ""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return Programs(tmp_path)


REMEMBER = 'while read -r line; do echo "$line" >> "$CALLS"; done'
MISSING = "echo 'Error: No such file or directory' >&2; exit 1"
FORBIDDEN = "echo 'Error: Operation not permitted' >&2; exit 1"


def test_nft_takes_all_addresses_of_a_family_at_once(programs: Programs) -> None:
    programs("nft", REMEMBER)
    blockset.add(SOURCES, 600)
    assert programs.told == (
        "add element inet replay_monitor blocked4 { 192.0.2.66 timeout 600s, 192.0.2.67 timeout 600s }\n"
        "add element inet replay_monitor blocked6 { 2001:db8::/64 timeout 600s }\n"
    )


def test_ipset_is_told_where_nft_has_no_set(programs: Programs) -> None:
    programs("nft", MISSING)
    programs("ipset", REMEMBER)
    blockset.add(SOURCES[:2], 600)
    assert programs.told == (
        "add replay_monitor4 192.0.2.66 timeout 600\nadd replay_monitor6 2001:db8::/64 timeout 600\n"
    )


def test_what_nft_lists_is_read(programs: Programs) -> None:
    programs("nft", f"echo '{NFT_LISTING}'")
    assert blockset.blocked() == [Blocked(SOURCES[0], 42)] * 2 + [Blocked(SOURCES[1], 43)] * 2


def test_what_ipset_lists_is_read(programs: Programs) -> None:
    programs("nft", MISSING)
    programs("ipset", "echo create x hash:ip; echo add replay_monitor4 192.0.2.66 timeout 42")
    assert blockset.blocked() == [Blocked(SOURCES[0], 42)] * 2


@pytest.mark.parametrize("action", [blockset.blocked, blockset.clear])
def test_without_a_set_it_is_told_how_to_have_one(programs: Programs, action: object) -> None:
    programs("nft", MISSING)
    with pytest.raises(NetfilterError, match="there is no block set: 'replay-monitor rules apply'"):
        action()  # type: ignore[operator]


def test_without_permission_it_is_not_ipset_that_is_blamed(programs: Programs) -> None:
    programs("nft", FORBIDDEN)
    programs("ipset", REMEMBER)
    with pytest.raises(NetfilterError, match=r"nft: .*needs root"):
        blockset.add(SOURCES, 1)
    assert programs.told == ""

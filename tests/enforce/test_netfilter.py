"""The nft and iptables programs as they are called, with stand-ins for them."""

from pathlib import Path

import pytest

from monitor.enforce import netfilter
from monitor.enforce.programs import NetfilterError
from monitor.enforce.ruleset import Ruleset


class Programs:
    """A folder that is the whole PATH, with scripts that stand in for programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, script: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What the scripts wrote to ``$CALLS``."""
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return Programs(tmp_path)


def test_nft_is_chosen_where_it_takes_the_rules(programs: Programs) -> None:
    programs("nft", "exit 0")
    assert netfilter.choose(Ruleset()) == ("nft", "")


def test_iptables_is_chosen_where_the_kernel_has_no_queue_statement(programs: Programs) -> None:
    programs(
        "nft", "echo '/dev/stdin:1:2-3: Error: Could not process rule: No such file or directory' >&2; exit 1"
    )
    backend, why = netfilter.choose(Ruleset())
    assert backend == "iptables"
    assert "no queue statement" in why


def test_iptables_is_chosen_without_nft(programs: Programs) -> None:
    assert netfilter.choose(Ruleset()) == ("iptables", "nft is not installed")


def test_without_root_nft_is_taken_to_work(programs: Programs) -> None:
    programs("nft", "echo 'netlink: Error: cache initialization failed: Operation not permitted' >&2; exit 1")
    assert netfilter.choose(Ruleset()) == ("nft", "")


def test_remove_without_root_says_so(programs: Programs) -> None:
    programs("nft", "echo 'netlink: Error: cache initialization failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(NetfilterError, match="needs root"):
        netfilter.remove()


def test_remove_without_any_program_finds_nothing(programs: Programs) -> None:
    assert netfilter.remove() == []


def test_neither_family_is_changed_where_one_refuses(programs: Programs) -> None:
    for name in ("iptables", "ip6tables"):
        programs(f"{name}-save", "exit 0")
    programs("iptables-restore", 'echo "4 $*" >> "$CALLS"')
    programs("ip6tables-restore", 'echo "6 $*" >> "$CALLS"; echo "line 3 failed" >&2; exit 1')
    with pytest.raises(NetfilterError, match="ip6tables-restore: line 3 failed"):
        netfilter.apply(Ruleset(), "iptables")
    assert programs.calls == ["4 --wait --noflush --test", "6 --wait --noflush --test"]


def test_exemptions_are_found_in_every_listing(programs: Programs) -> None:
    programs("nft", "echo '  udp dport 5060 notrack'; echo '  udp dport 5060 accept'")
    programs("iptables-save", "echo '-A PREROUTING -p udp -j CT --notrack'")
    programs("ip6tables-save", "echo '-A PREROUTING -p udp -j NOTRACK'")
    assert netfilter.exemptions() == [
        "udp dport 5060 notrack",
        "-A PREROUTING -p udp -j CT --notrack",
        "-A PREROUTING -p udp -j NOTRACK",
    ]


def test_listeners_are_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nfnetlink_queue"
    monkeypatch.setattr(netfilter, "_LISTENERS", file)
    assert netfilter.listeners() == set()
    file.write_text(
        "    0   1234     0 2 65531     0     0        7  1\n   17   4321     0 2 65531     0     0  7  1\n"
    )
    assert netfilter.listeners() == {0, 17}

"""``replay-monitor rules`` as it is called."""

import pytest

from monitor.__main__ import main
from monitor.cli import rules as command
from monitor.enforce.netfilter import Backend
from monitor.enforce.programs import NetfilterError
from monitor.enforce.ruleset import Ruleset


class Kernel:
    """Takes the place of ``enforce.netfilter`` and remembers."""

    NetfilterError = NetfilterError

    def __init__(self, why_not_nft: str = "") -> None:
        self.why_not_nft = why_not_nft
        self.applied: list[tuple[Ruleset, Backend]] = []
        self.standing: list[Backend] = []
        self.asked: list[Backend | None] = []
        self.queues: set[int] = {0}

    def choose(self, _: Ruleset) -> tuple[Backend, str]:
        return "iptables" if self.why_not_nft else "nft", self.why_not_nft

    def apply(self, rules: Ruleset, backend: Backend) -> None:
        self.applied.append((rules, backend))

    def remove(self, backend: Backend | None) -> list[Backend]:
        self.asked.append(backend)
        return self.standing

    def listeners(self) -> set[int]:
        return self.queues

    def exemptions(self) -> list[str]:
        return []


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(command, "netfilter", made)
    return made


def test_show_prints_what_the_options_say(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--queues",
        "1:2",
        "--hook",
        "all",
        "--ports",
        "5060,5070-5080",
        "--interface",
        "eth0",
        "--bypass",
    ]
    assert main(["rules", "show", "--backend", "nft", "--family", "6", *options]) == 0
    expected = Ruleset(
        (1, 2), ("input", "forward", "output"), ((5060, 5060), (5070, 5080)), "eth0", True, (6,)
    )
    assert capsys.readouterr().out == expected.nft()


def test_show_of_iptables_has_both_families(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "show", "--backend", "iptables"]) == 0
    assert capsys.readouterr().out == f"{Ruleset().iptables(4)}\n{Ruleset().iptables(6)}"


def test_apply_falls_back_with_a_word(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.why_not_nft = "no queue statement"
    assert main(["rules", "apply"]) == 0
    assert kernel.applied == [(Ruleset(), "iptables")]
    told = capsys.readouterr()
    assert told.out == "The rules stand (iptables).\n"
    assert told.err == "replay-monitor rules: no queue statement: using iptables\n"


def test_apply_with_a_named_backend_does_not_choose(kernel: Kernel) -> None:
    kernel.why_not_nft = "no queue statement"
    assert main(["rules", "apply", "--backend", "nft"]) == 0
    assert kernel.applied == [(Ruleset(), "nft")]


def test_apply_tells_of_queues_without_a_monitor(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "apply", "--queues", "0:2"]) == 0
    assert "nothing listens on queue 1, 2 yet: SIP is dropped" in capsys.readouterr().err
    assert main(["rules", "apply", "--queue", "5", "--bypass"]) == 0
    assert "nothing listens on queue 5 yet: SIP passes unseen" in capsys.readouterr().err


def test_remove_looks_at_both_backends_unless_told(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "remove"]) == 0
    assert capsys.readouterr().out == "There were no rules to remove.\n"
    kernel.standing = ["nft", "iptables"]
    assert main(["rules", "remove", "--backend", "iptables"]) == 0
    assert capsys.readouterr().out == "The rules are removed (nft, iptables).\n"
    assert kernel.asked == [None, "iptables"]


def test_failure_is_one_line_and_status_two(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_rules: Ruleset, _backend: Backend) -> None:
        raise NetfilterError("nft: Operation not permitted", forbidden=True)

    monkeypatch.setattr(kernel, "apply", fail)
    assert main(["rules", "apply"]) == 2
    assert capsys.readouterr().err == "replay-monitor rules: nft: Operation not permitted (this needs root)\n"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--ports", "0"],
        ["--queue", "x"],
        ["--queues", "3"],
        ["--queue", "1", "--queues", "1:2"],
        ["--queues", "2:1"],
        ["--interface", "a;b"],
        ["--hook", "prerouting"],
        ["--family", "5"],
    ],
)
def test_bad_usage_is_status_two(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["rules", "show", "--backend", "nft", *wrong])
    except SystemExit as stop:
        status = int(str(stop.code))
    assert status == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "replay-monitor rules: " in told.err

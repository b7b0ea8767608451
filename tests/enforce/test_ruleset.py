"""Kernel rule sets as text."""

import pytest

from monitor.enforce.ruleset import Ruleset, ipsets, iptables_jumps, iptables_removal, parse_ports

SAVED = """\
*security
:INPUT ACCEPT [0:0]
:REPLAY_MONITOR - [0:0]
-A INPUT -j REPLAY_MONITOR
-A INPUT -p tcp -j ACCEPT
-A FORWARD -o eth0 -j REPLAY_MONITOR
-A REPLAY_MONITOR -p tcp -j NFQUEUE --queue-num 0
COMMIT
"""

UNTRACKED = '-m conntrack --ctstate UNTRACKED -m comment --comment "keeps reassembly active"'


def rules(text: str) -> list[str]:
    """The lines of an iptables rule set that say something to iptables."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def nft(text: str) -> str:
    return "\n".join(rules(text))


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("5060", ((5060, 5060),)),
        ("5080,5060", ((5060, 5060), (5080, 5080))),
        ("5060,5061-5070", ((5060, 5070),)),
        ("5060-5080, 5070-5075,5081", ((5060, 5081),)),
        ("1-65535", ((1, 65535),)),
        ("any", ()),
    ],
)
def test_ports_are_sorted_and_disjoint(text: str, ports: tuple[tuple[int, int], ...]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "5070-5060", "5060-", "-5060", "sip", "5060,,5061", "5060-x", "²"]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="port"):
        parse_ports(text)


@pytest.mark.parametrize("queues", [(-1, 0), (3, 2), (0, 65536)])
def test_queues_rise_within_sixteen_bits(queues: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="rising"):
        Ruleset(queues=queues)


@pytest.mark.parametrize("interface", ["a b", 'eth0" accept', "eth0; flush ruleset", "x" * 16, "eth0\n"])
def test_what_is_no_interface_never_reaches_a_rule(interface: str) -> None:
    with pytest.raises(ValueError, match="interface"):
        Ruleset(interface=interface)


def test_iptables_defaults() -> None:
    assert rules(Ruleset().iptables(4)) == [
        "*security",
        ":REPLAY_MONITOR - [0:0]",
        "-I INPUT 1 -j REPLAY_MONITOR",
        "-I FORWARD 1 -j REPLAY_MONITOR",
        f"-A REPLAY_MONITOR -p udp {UNTRACKED}",
        "-A REPLAY_MONITOR -p udp -f -j NFQUEUE --queue-num 0",
        "-A REPLAY_MONITOR -p udp --dport 5060 -j NFQUEUE --queue-num 0",
        "-A REPLAY_MONITOR -p udp --sport 5060 -j NFQUEUE --queue-num 0",
        f"-A REPLAY_MONITOR -p tcp {UNTRACKED}",
        "-A REPLAY_MONITOR -p tcp -f -j NFQUEUE --queue-num 0",
        "-A REPLAY_MONITOR -p tcp --dport 5060 -j NFQUEUE --queue-num 0",
        "-A REPLAY_MONITOR -p tcp --sport 5060 -j NFQUEUE --queue-num 0",
        "COMMIT",
    ]


def test_what_comes_from_blocked_sources_is_dropped_before_it_would_be_queued() -> None:
    text = Ruleset(ipset=True, ports=((5060, 5060), (5070, 5080))).iptables(6)
    lines = [line for line in rules(text) if " -j " in line and line.startswith("-A")]
    queued = [line.removesuffix(" -j NFQUEUE --queue-num 0") for line in lines if "NFQUEUE" in line]
    dropped = [line.removesuffix(" -m set --match-set replay_monitor6 src -j DROP") for line in lines[::2]]
    assert queued == dropped
    assert len(queued) == 10
    assert "create replay_monitor6 hash:net family inet6 " in ipsets()
    assert "match-set" not in Ruleset().iptables(4)


def test_nft_drops_from_blocked_sources_what_it_would_queue() -> None:
    script = nft(Ruleset().nft())
    chain = script.partition("chain blocked {")[2].partition("}\n\n")[0]
    dropped = [line.strip().removesuffix(" counter drop") for line in chain.splitlines() if "drop" in line]
    queued = [
        line.strip().removesuffix(" counter queue num 0")
        for line in script.splitlines()
        if "queue num" in line
    ]
    assert dropped == queued
    assert script.index("@blocked4 jump blocked") < script.index("queue num")
    assert "blocked6" not in nft(Ruleset(families=(4,)).nft())


def test_iptables_for_ipv6_finds_fragments_by_their_header() -> None:
    text = Ruleset().iptables(6)
    assert "-A REPLAY_MONITOR -p udp -m ipv6header --header ipv6-frag --soft -j NFQUEUE --queue-num 0" in text
    assert " -f " not in text


def test_iptables_replaces_the_jumps_it_is_told_of() -> None:
    assert iptables_jumps(SAVED) == ("-A INPUT -j REPLAY_MONITOR", "-A FORWARD -o eth0 -j REPLAY_MONITOR")
    lines = rules(Ruleset(hooks=("input",)).iptables(4, iptables_jumps(SAVED)))
    assert lines[2:5] == [
        "-D INPUT -j REPLAY_MONITOR",
        "-D FORWARD -o eth0 -j REPLAY_MONITOR",
        "-I INPUT 1 -j REPLAY_MONITOR",
    ]


def test_iptables_removal_undoes_what_stands_and_nothing_else() -> None:
    assert rules(iptables_removal(SAVED)) == [
        "*security",
        "-D INPUT -j REPLAY_MONITOR",
        "-D FORWARD -o eth0 -j REPLAY_MONITOR",
        "-F REPLAY_MONITOR",
        "-X REPLAY_MONITOR",
        "COMMIT",
    ]
    assert iptables_removal("*security\n:INPUT ACCEPT [0:0]\nCOMMIT\n") == ""


def test_interface_is_looked_at_on_the_side_where_the_hook_has_it() -> None:
    ruleset = Ruleset(hooks=("input", "forward", "output"), interface="eth0")
    jumps = [line for line in rules(ruleset.iptables(4)) if line.startswith("-I")]
    assert jumps == [
        "-I INPUT 1 -i eth0 -j REPLAY_MONITOR",
        "-I FORWARD 1 -i eth0 -j REPLAY_MONITOR",
        "-I FORWARD 2 -o eth0 -j REPLAY_MONITOR",
        "-I OUTPUT 1 -o eth0 -j REPLAY_MONITOR",
    ]
    script = nft(ruleset.nft())
    assert [line.strip() for line in script.splitlines() if "jump sip" in line] == [
        'iifname "eth0" jump sip',
        'iifname "eth0" jump sip',
        'oifname "eth0" jump sip',
        'oifname "eth0" jump sip',
    ]


def test_several_queues_and_bypass() -> None:
    ruleset = Ruleset(queues=(2, 5), bypass=True)
    queueing = [line for line in rules(ruleset.iptables(4)) if "NFQUEUE" in line]
    assert all(line.endswith("-j NFQUEUE --queue-balance 2:5 --queue-bypass") for line in queueing)
    queueing = [line for line in nft(ruleset.nft()).splitlines() if "queue num" in line]
    assert len(queueing) == 4
    assert all(line.endswith("queue num 2-5 bypass") for line in queueing)


def test_any_port_queues_all_udp_and_tcp_fragments_included() -> None:
    ruleset = Ruleset(ports=())
    queueing = [line for line in rules(ruleset.iptables(6)) if "NFQUEUE" in line]
    assert queueing == [
        "-A REPLAY_MONITOR -p udp -j NFQUEUE --queue-num 0",
        "-A REPLAY_MONITOR -p tcp -j NFQUEUE --queue-num 0",
    ]
    assert nft(ruleset.nft()).count("queue num 0") == 1


def test_nft_replaces_itself_in_one_script() -> None:
    lines = [line for line in rules(Ruleset().nft()) if line]
    assert lines[:3] == [
        "table inet replay_monitor",
        "delete table inet replay_monitor",
        "table inet replay_monitor {",
    ]


@pytest.mark.parametrize("family", [4, 6])
def test_nft_of_one_family_lets_the_other_pass(family: int) -> None:
    script = nft(Ruleset(families=(4,) if family == 4 else (6,)).nft())
    jumps = [line.strip() for line in script.splitlines() if "jump sip" in line]
    assert jumps == [f"meta nfproto ipv{family} jump sip"] * 2


@pytest.mark.parametrize("bypass", [False, True])
def test_comment_tells_what_happens_without_a_monitor(bypass: bool) -> None:
    ruleset = Ruleset(bypass=bypass)
    for text in (ruleset.nft(), ruleset.iptables(4)):
        comment = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        assert ("these packets pass (bypass)" in comment) is bypass
        assert ("these packets are dropped" in comment) is not bypass

"""Configuration files read whole, and everything wrong with them told with its line."""

import re
from pathlib import Path

import pytest

from monitor.antireplay.policy import Policy
from monitor.config import Config, ConfigError, load
from monitor.config.document import SIZE
from monitor.exceptions import ExceptionName, Outcome
from monitor.wire.address import pack

EXAMPLES = Path(__file__).parent.parent / "rules" / "policies"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.toml"


def problems(file: Path, text: str | bytes) -> list[str]:
    """The problems of a configuration, without the directory of their files."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(problem).removeprefix(f"{file.parent}/") for problem in caught.value.problems]


def test_an_empty_file_is_the_default(file: Path) -> None:
    file.touch()
    config = load(file)
    assert vars(config) == vars(Config())
    assert config.policies.choose(pack("192.0.2.1")) == Policy()
    assert config.store.url == "sqlite:///var/lib/replay-monitor/associations.db"
    assert config.store.retention is None


def test_every_key_of_the_policy_reaches_the_judge(file: Path) -> None:
    file.write_text("""
        [policy]
        relays = ["192.0.2.10", "2001:db8::10"]
        b2bua = ["192.0.2.20"]
        moves = true
        source_prefix = {ipv4 = 24, ipv6 = 64}
        originator = "deny"
        originator_silence = "7d"
        strict = true
        on_deny = "drop"
        [policy.exceptions]
        bad-signature = "alert"
        store-unavailable = "accept"
    """)
    policy = load(file).policies.default
    assert policy == Policy(
        relays=frozenset({pack("192.0.2.10"), pack("2001:db8::10")}),
        b2bua=frozenset({pack("192.0.2.20")}),
        moves=True,
        prefix_ipv4=24,
        prefix_ipv6=64,
        originator="deny",
        originator_silence=7 * 86400 * 10**9,
        strict=True,
        outcomes={
            **Policy().outcomes,
            ExceptionName.BAD_SIGNATURE: Outcome.ALERT,
            ExceptionName.STORE_UNAVAILABLE: Outcome.ACCEPT,
        },
    )


@pytest.mark.parametrize(
    ("said", "udp", "tcp"),
    [
        ('"drop"', "drop", "drop"),
        ('"respond"', "respond", "neutralise"),
        ('"neutralise"', "neutralise", "neutralise"),
        ('"reset"', "drop", "reset"),
        ('{udp = "respond", tcp = "reset"}', "respond", "reset"),
        ('{tcp = "neutralise"}', "drop", "neutralise"),
    ],
)
def test_what_denying_does_is_said_in_a_word_or_for_each_transport(
    file: Path, said: str, udp: str, tcp: str
) -> None:
    file.write_text(f"[policy]\non_deny = {said}\n")
    policy = load(file).policies.default
    assert (policy.on_deny_udp, policy.on_deny_tcp) == (udp, tcp)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ('on_deny = "reject"', 'policy.on_deny: must be "drop", "respond", "neutralise" or "reset"'),
        ('on_deny = {udp = "reset"}', "policy.on_deny.udp: must be 'drop', 'respond' or 'neutralise'"),
        ('on_deny = {tcp = "respond"}', "policy.on_deny.tcp: must be 'drop', 'neutralise' or 'reset'"),
        ("on_deny = 3", "policy.on_deny: must be a table, is 3"),
        ('[block]\nduration = "2d"', 'block.duration: must be from "1s" to "1d"'),
        ('[block]\nduration = "5ms"', 'block.duration: must be from "1s" to "1d"'),
        ("[block]\ndenials = 1", "block.denials: must be 2 or more, is 1"),
    ],
)
def test_what_enforcement_cannot_be(file: Path, said: str, wrong: str) -> None:
    file.write_text(f"[policy]\n{said}\n")
    with pytest.raises(ConfigError, match=re.escape(wrong)):
        load(file)


def test_a_policy_file_says_of_one_transport_what_differs(file: Path) -> None:
    file.write_text('policies = "more"\n[policy]\non_deny = "respond"\n')
    folder = file.parent / "more"
    folder.mkdir()
    (folder / "a.toml").write_text('[match]\nmethod = "INVITE"\n[policy]\non_deny = {tcp = "reset"}\n')
    policy = load(file).policies.choose(bytes(4), method="INVITE")
    assert (policy.on_deny_udp, policy.on_deny_tcp) == ("respond", "reset")


def test_the_other_tables(file: Path) -> None:
    file.write_text("""
        [queue]
        numbers = [3, 4]
        fail_open = true
        [store]
        url = "redis://localhost/2"
        durability = "power"
        retention = "90d"
        [keys]
        directory = "keys"
        trust = "/etc/ssl/certs"
        [metrics]
        listen = "off"
        [events]
        file = "../events.jsonl"
    """)
    config = load(file)
    assert config.queue.numbers == (3, 4)
    assert config.queue.fail_open
    assert config.store.durability == "power"
    assert config.store.retention == 90 * 86400 * 10**9
    assert config.keys.directory == file.parent / "keys"
    assert config.keys.trust == Path("/etc/ssl/certs")
    assert config.metrics.listen is None
    assert config.events.file == file.parent / "../events.jsonl"


def test_everything_that_is_wrong_is_told_at_once(file: Path) -> None:
    (file.parent / "more").mkdir()
    (file.parent / "more" / "a.toml").write_text('[match]\nsource = "192.0.2.1/24"\n[policy]\nmoves = 1\n')
    (file.parent / "more" / "b.toml").write_text("[match\n")
    text = """\
policies = "more"
relays = ["192.0.2.1"]
[policy]
relays = [
    "192.0.2.0/24",
    7,
]
moves = "yes"
source_prefix = {ipv4 = 40, ipv5 = 3}
originator = "warn"
originator_silence = "30 days"
strictt = true
[policy.exceptions]
malformd = "alert"
store_unavailable = "deny"
limit = "drop"
[queue]
numbers = [0, 70000]
length = "many"
[store]
url = "mysql://x"
retention = "forever"
durability = true
[metrics]
listen = "9464"
[key]
directory = "x"
"""
    assert problems(file, text) == [
        "monitor.toml:2: relays: is no key that is known here (it belongs under [policy])",
        'monitor.toml:4: policy.relays[0]: "192.0.2.0/24" is a network (name single addresses)',
        'monitor.toml:4: policy.relays[1]: must be an address in text (write "192.0.2.10")',
        'monitor.toml:8: policy.moves: must be true or false, is "yes"',
        "monitor.toml:9: policy.source_prefix.ipv4: must be 32 or less, is 40",
        'monitor.toml:9: policy.source_prefix.ipv5: is no key that is known (did you mean "ipv6"?)',
        "monitor.toml:10: policy.originator: must be 'ignore', 'alert' or 'deny', is \"warn\"",
        (
            'monitor.toml:11: policy.originator_silence: "days" is no unit of time'
            ' (write ms, s, m, h, d or w, as in "30d")'
        ),
        'monitor.toml:12: policy.strictt: is no key that is known (did you mean "strict"?)',
        'monitor.toml:14: policy.exceptions.malformd: is no exception (did you mean "malformed"?)',
        (
            "monitor.toml:15: policy.exceptions.store_unavailable: is no exception"
            ' (did you mean "store-unavailable"?)'
        ),
        "monitor.toml:16: policy.exceptions.limit: must be 'accept', 'deny' or 'alert', is \"drop\"",
        "monitor.toml:18: queue.numbers[1]: must be 65535 or less, is 70000",
        'monitor.toml:19: queue.length: must be a whole number, is "many"',
        (
            'monitor.toml:21: store.url: "mysql://x" is no store (write memory:, sqlite:///PATH,'
            " redis://HOST:PORT/NUMBER, rediss://… or unix:///SOCKET)"
        ),
        (
            'monitor.toml:22: store.retention: is no duration (write "30d", "12h", "15m", "90s" or a number'
            ' of seconds; or "certificate")'
        ),
        "monitor.toml:23: store.durability: must be 'process' or 'power', is true",
        (
            'monitor.toml:25: metrics.listen: is nowhere to listen (write "127.0.0.1:9464", "[::1]:9464"'
            ' or "off")'
        ),
        "monitor.toml:26: key: is no key that is known here (it belongs under [evidence])",
        'more/a.toml:2: match.source[0]: "192.0.2.1/24" has bits beyond its prefix (write "192.0.2.0/24")',
        "more/a.toml:4: policy.moves: must be true or false, is 1",
        "more/b.toml:1: is not TOML: Expected ']' at the end of a table declaration",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[policy]\nmoves = maybe\n", "monitor.toml:2: is not TOML: Invalid value"),
        (b'[policy]\nx = "never closed', "monitor.toml:2: is not TOML: "),
        (b"[policy]\n[policy]\n", "monitor.toml:2: is not TOML: "),
        (b"# caf\xe9\n", "monitor.toml:1: is not UTF-8; save it as that"),
        (b"policy = 5\n", "monitor.toml:1: policy: must be a table, is 5"),
        (b"[policy]\nexceptions = true\n", "monitor.toml:2: policy.exceptions: must be a table, is true"),
        (b"[policy]\nrelays = {}\n", 'monitor.toml:2: policy.relays: must be a list, as in ["192.0.2.10"]'),
        (b"[store]\nurl = 5\n", "monitor.toml:2: store.url: must be a store's URL in quotes"),
        (b'[store]\nurl = "sqlite:///"\n', "monitor.toml:2: store.url: sqlite:///: names no file"),
        (
            b'[store]\nurl = "redis://h/one"\n',
            'monitor.toml:2: store.url: redis://h/one: "one" is no database number',
        ),
        (
            b'[store]\nurl = "redis://h:99999/1"\n',
            "monitor.toml:2: store.url: a server's URL is none: Port out of",
        ),
        (b'[store]\nurl = "redis://h:0/1"\n', "monitor.toml:2: store.url: redis://h:0/1: port 0 is none"),
        (b'[store]\nurl = "unix://"\n', "monitor.toml:2: store.url: unix://: names no socket"),
        (b"policies = 5\n", "monitor.toml:1: policies: must be text in quotes, is 5"),
        (b'\npolicies = "none"\n', 'monitor.toml:2: policies: "none" is no directory, and no file fits it'),
        (b"[queue]\nnumbers = []\n", "monitor.toml:2: queue.numbers: is an empty list"),
        (b"x = " + b"[" * 100_000, "monitor.toml: is nested too deeply"),
        (b"#" * (SIZE + 1), f"monitor.toml: is longer than {SIZE} octets"),
        (
            b'[policy]\nb2bua = ["192.0.2.1"]\nrelays = ["192.0.2.1"]\n',
            "monitor.toml:2: policy.b2bua: 192.0.2.1 is a relay and a B2BUA at once",
        ),
    ],
)
def test_one_thing_wrong(file: Path, text: bytes, problem: str) -> None:
    (found,) = problems(file, text)
    assert found.startswith(problem)


def test_a_mark_at_the_beginning_means_nothing(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[policy]\nstrict = true\n")
    assert load(file).policies.default.strict


def test_no_file(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.toml: cannot be read: No such file or directory"):
        load(file)


def test_policy_files_are_asked_by_name_and_differ_from_the_common_policy(file: Path) -> None:
    home = file.parent / "policies"
    home.mkdir()
    file.write_text("""
        policies = "policies"
        [policy]
        strict = true
        source_prefix = {ipv4 = 24}
        exceptions = {limit = "alert", malformed = "deny"}
    """)
    (home / "20-wide.toml").write_text('[match]\nsource = "10.0.0.0/8"\n')
    (home / "10-narrow.toml").write_text("""
        [match]
        source = ["10.1.0.0/16"]
        method = "INVITE"
        [policy]
        strict = false
        source_prefix = {ipv6 = 64}
        exceptions = {malformed = "accept"}
    """)
    (home / "ignored.txt").write_text("not a policy")
    policies = load(file).policies
    narrow = policies.choose(pack("10.1.2.3"), method="INVITE")
    assert (narrow.name, narrow.strict, narrow.prefix_ipv4, narrow.prefix_ipv6) == (
        "10-narrow",
        False,
        24,
        64,
    )
    assert narrow.outcomes[ExceptionName.LIMIT] is Outcome.ALERT
    assert narrow.outcomes[ExceptionName.MALFORMED] is Outcome.ACCEPT
    wide = policies.choose(pack("10.1.2.3"), method="BYE")
    assert (wide.name, wide.strict) == ("20-wide", True)
    assert wide.outcomes[ExceptionName.MALFORMED] is Outcome.DENY
    assert policies.choose(pack("192.0.2.1")).name == "default"


def test_a_pattern_names_policy_files(file: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (file.parent / name).write_text(f'[match]\ninterface = "{name[0]}"\n')
    file.write_text('policies = "[ab].toml"\n')
    assert [policy.name for _, policy in load(file).policies.entries] == ["a", "b"]


def test_a_policy_that_is_never_reached_is_wrong(file: Path) -> None:
    (file.parent / "p").mkdir()
    (file.parent / "p" / "1.toml").write_text('[match]\nsource = ["10.0.0.0/8", "::/0"]\n')
    (file.parent / "p" / "2.toml").write_text('\n[match]\nsource = "10.2.0.0/16"\nmethod = "INVITE"\n')
    (file.parent / "p" / "3.toml").write_text('[match]\nsource = ["10.2.0.0/16", "192.0.2.0/24"]\n')
    (found,) = problems(file, 'policies = "p"\n')
    assert (
        found
        == "p/2.toml:2: match: is never reached: 1.toml before it takes all that this takes (rename one)"
    )


def test_an_inherited_contradiction_is_told_where_it_is_made(file: Path) -> None:
    (file.parent / "a.toml").write_text('[match]\nmark = 1\n[policy]\nb2bua = ["192.0.2.1"]\n')
    (found,) = problems(file, 'policies = "a.toml"\n[policy]\nrelays = ["192.0.2.1"]\n')
    assert found.startswith("a.toml:4: policy.b2bua: 192.0.2.1 is a relay and a B2BUA at once")


def test_the_examples_are_right_alone_and_together(file: Path) -> None:
    file.write_text(f'policies = "{EXAMPLES}"\n')
    names = [policy.name for _, policy in load(file).policies.entries]
    assert names == ["behind-proxy", "exact", "mobile", "trial"]
    for name in names:
        file.write_text(f'policies = "{EXAMPLES}/{name}.toml"\n')
        assert load(file).policies.entries[0][1].name == name


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().queue.batch = 5


@pytest.mark.parametrize("key", ["[key]", "queue.[key]"])
def test_a_key_by_the_name_that_pydantic_uses(file: Path, key: str) -> None:
    (problem,) = problems(file, ".".join(f'"{part}"' for part in key.split(".")) + " = 1\n")
    assert problem.startswith(f"monitor.toml:1: {key}: is no key that is known")

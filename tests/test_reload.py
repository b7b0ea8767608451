"""A reload: policies and templates change between two packets, and nothing that is known or waits is lost."""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import Tape, invite, sdp, tcp, udp

from monitor.antireplay.ruling import Reason, Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.load import load
from monitor.config.model import Config
from monitor.config.problem import ConfigError
from monitor.keys.error import KeyStoreError
from monitor.keys.ring import load as load_keys
from monitor.pipeline import Pipeline
from monitor.record import RulingRecord
from monitor.reload import Reloader
from monitor.shipped import shipped
from monitor.simulate.cms import envelope
from monitor.simulate.keyring import load as load_identities
from monitor.store.memory import MemoryStore
from monitor.toolbox.template import TemplateError

BOB, ALICE, ELSEWHERE = "192.0.2.5", "192.0.2.1", "192.0.2.66"
K = "A" * 40
KEYS = Path(__file__).parents[1] / "pcaps" / "keys"


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """As it was: a reload configures it."""
    log = logging.getLogger("monitor")
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate, log.level = before


class Daemon:
    """As much of one as a reload concerns."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.write("")
        self.ring = load_keys(KEYS)
        config = load(file)
        self.core: Pipeline = assemble(
            store=MemoryStore(),
            secret=REPLAY_SECRET,
            policies=config.policies,
            directory=self.ring.directory,
        )
        self.described: list[Config] = []
        self.reload = Reloader(lambda: load(file), config, self.core, self.described.append)
        self.tape = Tape()

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def rules(self, payload: bytes, source: str = BOB) -> tuple[Reason, str]:
        """The reason for a datagram's ruling, and the policy it was ruled under."""
        self.core.feed(self.tape.frame(udp(source, ALICE, payload), after=0.5))
        return self.last()

    def last(self) -> tuple[Reason, str]:
        ruling = self.core.settle()[-1].records[-1]
        assert isinstance(ruling, RulingRecord)
        return ruling.reason, ruling.policy


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path / "monitor.toml")


REINVITE = invite(sdp(K), cseq=2)


def test_a_policy_takes_effect_and_what_is_known_stays(daemon: Daemon) -> None:
    assert daemon.rules(invite(sdp(K))) == (Reason.FIRST_USE, "default")
    assert daemon.rules(REINVITE, ELSEWHERE) == (Reason.SOURCE_CHANGED, "default")
    policies = daemon.file.parent / "policies"
    policies.mkdir()
    (policies / "mobile.toml").write_text(
        f'[match]\nsource = "{ELSEWHERE}"\nmethod = "INVITE"\n[policy]\nmoves = true\n'
    )
    daemon.write('policies = "policies"\n')
    daemon.reload()
    assert daemon.rules(REINVITE, ELSEWHERE) == (Reason.MOVED, "mobile")
    (policies / "mobile.toml").unlink()
    daemon.reload()
    assert daemon.rules(invite(sdp(K), cseq=3), BOB) == (Reason.SOURCE_CHANGED, "default")
    assert [len(config.policies.entries) for config in daemon.described] == [1, 0]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("[policy]\nmoves = 1\n", ConfigError, "monitor.toml:2: policy.moves: must be true or false"),
        ("[policy\n", ConfigError, "monitor.toml:1: is not TOML"),
        ('policies = "none/*.toml"\n', ConfigError, "no file fits it"),
        ('[templates]\ndirectory = "templates"\n', TemplateError, "bad.toml"),
        ('[keys]\ntrust = "nowhere.pem"\n', KeyStoreError, "nowhere.pem"),
    ],
)
def test_one_that_fails_says_why_and_changes_nothing(
    daemon: Daemon, text: str, error: type[Exception], said: str
) -> None:
    daemon.write("[policy]\nmoves = true\n")
    daemon.reload()
    templates = daemon.file.parent / "templates"
    templates.mkdir()
    (templates / "bad.toml").write_text("[match]\nlayers = 7\n")
    daemon.write(f"{text}[log]\nlevel = 'debug'\n")
    with pytest.raises(error, match=said):
        daemon.reload()
    assert daemon.rules(invite(sdp(K))) == (Reason.FIRST_USE, "default")
    assert daemon.rules(REINVITE, ELSEWHERE) == (Reason.MOVED, "default")
    assert len(daemon.described) == 1
    assert logging.getLogger("monitor").level != logging.DEBUG


def test_what_takes_a_new_start_is_told(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.write('[queue]\nlength = 7\n[store]\nurl = "memory:"\n[keys]\ntrust = "ca.pem"\n')
    (daemon.file.parent / "ca.pem").write_bytes((KEYS / "ca.pem").read_bytes())
    daemon.reload()
    told = capsys.readouterr().err
    assert "[queue] has changed: that takes a new start" in told
    assert "[store] has changed" in told
    assert "[keys]" not in told
    assert "reloaded: policies none but the default, templates " in told


def test_templates_are_swapped_between_messages(daemon: Daemon) -> None:
    assert daemon.rules(invite(sdp(K))) == (Reason.FIRST_USE, "default")
    daemon.write(f'[templates]\ndirectory = "{shipped("templates") / "observe"}"\n')
    daemon.reload()
    daemon.core.feed(daemon.tape.frame(udp(ELSEWHERE, ALICE, invite(sdp(K), call="other")), after=1))
    (settled,) = daemon.core.settle()
    assert settled.verdict is Verdict.ACCEPT
    (record,) = settled.records
    assert isinstance(record, RulingRecord)
    assert (record.reason, record.enforced) == (Reason.KEY_REUSED, False)


def test_a_message_half_come_and_one_that_waits_for_its_key_stay(daemon: Daemon) -> None:
    entity = b"Content-Type: application/sdp\r\n\r\n" + sdp("B" * 40)
    body = envelope(entity, [load_identities(KEYS)["alice"]], random.Random(1))
    sealed = invite(body, "call-2", "application/pkcs7-mime")
    streamed = invite(sdp(K))
    tape, core = daemon.tape, daemon.core
    assert core.feed(tape.frame(udp(BOB, ALICE, sealed))) is None
    (ask,) = core.asks()
    assert core.feed(tape.frame(tcp(BOB, ALICE, 1000, streamed[:200]))) is Verdict.ACCEPT
    daemon.write("[policy]\nstrict = true\n")
    daemon.reload()
    assert core.feed(tape.frame(tcp(BOB, ALICE, 1200, streamed[200:]))) is None
    assert daemon.last() == (Reason.FIRST_USE, "default")
    core.answer(ask.number, daemon.ring.unwrap(ask.request))
    assert daemon.last() == (Reason.FIRST_USE, "default")
    assert daemon.rules(sealed, ELSEWHERE) == (Reason.SOURCE_CHANGED, "default")

"""No oracle: what an attacker can watch does not tell whether a private-key operation worked."""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from frames import Tape, invite, sdp, udp

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.keys import ring as keyring
from monitor.keys import transport
from monitor.pipeline import Pipeline
from monitor.simulate import cms, der
from monitor.simulate.keyring import load as load_identities
from monitor.store.memory import MemoryStore
from monitor.toolbox.tools import confidentiality

ROOT = Path(__file__).parents[2]
KEYS = ROOT / "pcaps" / "keys"
BOB, ALICE = "192.0.2.5", "192.0.2.1"
CHANCE = random.Random()


@pytest.fixture(autouse=True)
def _seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong key in 256 gives good padding by chance; these do not, nor do those that are made up here."""
    CHANCE.seed(1)
    made = keyring.KeyRing.__init__

    def steady(ring: keyring.KeyRing, *arguments: Any) -> None:
        made(ring, *arguments)
        ring._rejection_secret = bytes(32)

    monkeypatch.setattr(keyring.KeyRing, "__init__", steady)


@dataclass
class Watched:
    """A pipeline of which every operation with a secret is counted."""

    templates: Path | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.ring = keyring.load(KEYS)
        self.tape = Tape()
        self.core: Pipeline = assemble(
            store=MemoryStore(),
            secret=REPLAY_SECRET,
            policies=PolicyList(Policy()),
            directory=self.ring.directory,
            templates=self.templates,
        )

    def verdict(self, blob: bytes, call: str = "call-1", cseq: int = 1) -> Verdict:
        """What becomes of an INVITE with this envelope."""
        message = invite(blob, call, "application/pkcs7-mime", cseq=cseq)
        assert self.core.feed(self.tape.frame(udp(BOB, ALICE, message))) is None
        for ask in self.core.asks():
            self.counts["asks"] += 1
            self.core.answer(ask.number, self.ring.unwrap(ask.request))
        (settled,) = self.core.settle()
        return settled.verdict


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts of private-key operations and of decryptions."""
    counts: Counter[str] = Counter()
    for module, name in ((transport, "unwrap"), (confidentiality, "_open")):
        inner = getattr(module, name)

        def outer(*arguments: object, inner: object = inner, name: str = name) -> object:
            counts[name] += 1
            return inner(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(module, name, outer)
    return counts


def envelope() -> bytes:
    """An envelope for Alice, of which the tests keep the content key to themselves."""
    entity = b"Content-Type: application/sdp\r\n\r\n" + sdp("A" * 40)
    return cms.envelope(entity, [load_identities(KEYS)["alice"]], CHANCE)


def with_wrapped(blob: bytes, block: bytes) -> bytes:
    """The envelope with another wrapped key: this block, raised to the public exponent."""
    public = load_identities(KEYS)["alice"].certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    numbers = public.public_numbers()
    root = der.parse(blob)
    recipient = root.children[1].children[0].children[1].children[0]
    recipient.children[3].content = pow(int.from_bytes(block), numbers.e, numbers.n).to_bytes(256)
    return root.der()


def with_last_octet(blob: bytes, change: int) -> bytes:
    """The envelope with an octet of the last block but one changed, which changes the padding's octet."""
    root = der.parse(blob)
    encrypted = root.children[1].children[0].children[2].children[2]
    content = bytearray(encrypted.content)
    content[-17] ^= change
    encrypted.content = bytes(content)
    return root.der()


def filler(size: int) -> bytes:
    return bytes(CHANCE.randrange(1, 256) for _ in range(size))


BLOCKS = {
    "another key": lambda: b"\0\2" + filler(237) + b"\0" + filler(16),
    "a key of the wrong length": lambda: b"\0\2" + filler(238) + b"\0" + filler(15),
    "no key": lambda: b"\0\2" + filler(253) + b"\0",
    "no end of the padding": lambda: b"\0\2" + filler(254),
    "another block type": lambda: b"\0\1" + filler(237) + b"\0" + filler(16),
    "padding that is too short": lambda: b"\0\2" + filler(4) + b"\0" + filler(249),
    "no padding": lambda: b"\1" + filler(255),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_wrong_paddings_and_lengths_look_like_the_right_key(kind: str, counted: Counter[str]) -> None:
    right = Watched()
    expected = right.verdict(envelope())
    operations = right.counts + counted
    assert operations == {"asks": 1, "unwrap": 1, "_open": 1}
    counted.clear()
    wrong = Watched()
    assert wrong.verdict(with_wrapped(envelope(), BLOCKS[kind]())) is expected is Verdict.ACCEPT
    assert wrong.counts + counted == operations


@pytest.mark.parametrize("templates", [None, ROOT / "rules" / "templates" / "strict"])
def test_many_contents_under_one_wrapped_key_tell_nothing(
    templates: Path | None, counted: Counter[str]
) -> None:
    """Vaudenay's attack: one of 256 changes of this octet gives a right padding again."""
    watched, recorded = Watched(templates), envelope()
    first = with_last_octet(recorded, 0xFF)
    verdicts = {watched.verdict(first)}
    for change in range(255):
        verdicts.add(watched.verdict(with_last_octet(recorded, change)))
    assert len(verdicts) == 1
    assert watched.counts["asks"] == counted["unwrap"] == counted["_open"] == 1


def test_the_same_content_is_opened_however_often_it_comes_undecided(counted: Counter[str]) -> None:
    """As where the first copy was refused for overload, or denied for something else."""
    watched, blob = Watched(ROOT / "rules" / "templates" / "strict"), envelope()
    assert [watched.verdict(blob) for _ in range(3)] == [Verdict.DENY] * 3
    assert watched.counts["asks"] == 3


def test_what_is_remembered_of_wrapped_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidentiality, "MAX_REMEMBERED", 4)
    watched = Watched(ROOT / "rules" / "templates" / "strict")
    blobs = [envelope() for _ in range(6)]
    for number, blob in enumerate(blobs):
        watched.verdict(blob, f"call-{number}")
    asks = watched.counts["asks"]
    watched.verdict(with_last_octet(blobs[-1], 1), "call-5")
    assert watched.counts["asks"] == asks
    watched.verdict(with_last_octet(blobs[0], 1), "call-0")
    assert watched.counts["asks"] == asks + 1


def test_nor_does_it_grow_by_envelopes_that_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names two keys that are held, with a new wrapped key for one and the same for the other."""
    monkeypatch.setattr(confidentiality, "MAX_REMEMBERED", 4)
    watched, early = Watched(ROOT / "rules" / "templates" / "strict"), envelope()
    watched.verdict(early, "call-0")
    people = load_identities(KEYS)
    entity = b"Content-Type: application/sdp\r\n\r\n" + sdp("A" * 40)
    two = cms.envelope(entity, [people["alice"], people["bob"]], CHANCE)
    for number in range(4):
        changed = with_last_octet(with_wrapped(two, BLOCKS["another key"]()), number)
        watched.verdict(changed, f"call-{number + 1}")
    asks = watched.counts["asks"]
    assert asks == 2
    watched.verdict(with_last_octet(early, 1), "call-0")
    assert watched.counts["asks"] == asks + 1

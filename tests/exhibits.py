"""Exhibits for the tests of the evidence log, as the pipeline hands them on."""

import random
from functools import cache
from pathlib import Path

from frames import Tape, invite, sdp, tcp, udp

from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.exhibit import Exhibit, Keep
from monitor.simulate import body
from monitor.simulate.keyring import load as load_identities
from monitor.store.memory import MemoryStore

KEYS = Path(__file__).parents[1] / "pcaps" / "keys"
BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"


def signed_invite() -> bytes:
    """Bob's INVITE with a key under his detached signature."""
    plain = body.Body((("Content-Type", "application/sdp"),), sdp("S" * 40))
    whole = body.signed(plain, load_identities(KEYS)["bob"], 1_700_000_000, random.Random(1))
    return invite(whole.content, "call-signed", dict(whole.headers)["Content-Type"])


@cache
def kept(keep: Keep) -> tuple[Exhibit, ...]:
    """What is kept of a first use, its replay, a signed INVITE and one over TCP."""
    core = assemble(store=MemoryStore(), secret=REPLAY_SECRET, policies=PolicyList(Policy()), evidence=keep)
    tape = Tape()
    for packet in (
        udp(BOB, ALICE, invite(sdp("A" * 40))),
        udp(CHARLES, ALICE, invite(sdp("A" * 40), call="call-2")),
        udp(BOB, ALICE, signed_invite()),
        tcp(BOB, ALICE, 1000, invite(sdp("T" * 40), call="call-3")),
    ):
        core.feed(tape.frame(packet))
    return tuple(exhibit for settled in core.settle() for exhibit in settled.exhibits)

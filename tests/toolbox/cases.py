"""Cases and databases for the tests of the engine and its tools."""

from pathlib import Path
from typing import Any

from frames import START, invite

from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.policy import Policy
from monitor.antireplay.sad import AssociationDatabase, Facts
from monitor.keys.directory import Directory
from monitor.sip.message import parse
from monitor.store.memory import MemoryStore
from monitor.toolbox.case import Case
from monitor.toolbox.tool import Databases
from monitor.wire.address import pack

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"
HASHES = Fingerprinter(b"a secret of some octets")


def databases(directory: Directory | None = None, **more: Any) -> Databases:
    """Databases over a fresh store in memory."""
    associations = AssociationDatabase(MemoryStore(), HASHES, 10**18)
    return Databases(associations, HASHES, directory or Directory(), **more)


def case(
    body: bytes = b"",
    content_type: str = "application/sdp",
    *,
    source: str = "192.0.2.5",
    time: int = START,
    policy: Policy | None = None,
    **message: Any,
) -> Case:
    """The case of Bob's INVITE with this body."""
    policy = policy or Policy()
    parsed = parse(invite(body, content_type=content_type, **message))
    facts = Facts.of(parsed, pack(source), pack("192.0.2.1"), time, policy, HASHES)
    return Case(parsed, facts, policy)


def raised(case: Case) -> list[str]:
    """The exceptions of a case, by name."""
    return [str(each.name) for each in case.raised]

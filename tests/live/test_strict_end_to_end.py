"""A template that requires encryption, signature and identity, live on the queue, with its evidence."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from daemon import KEYS, PORT, ROOT, Daemon
from namespaces import Network, wait_until

from monitor.__main__ import main
from monitor.simulate import body, keyring
from monitor.simulate.body import Body
from monitor.simulate.party import ALICE, BOB
from monitor.simulate.stage import Setting, Stage

pytestmark = pytest.mark.live


def wrongly_signed(stage: Stage) -> Body:
    """A body sealed for Alice whose content was changed after Bob signed it."""
    plain = stage.plain(BOB)
    identities = stage.identities
    whole = body.signed(plain, identities["bob"], 1_700_000_000, random.Random(1))
    assert whole.content.count(b"inline:") == 1
    forged = replace(whole, content=whole.content.replace(b"inline:", b"inline:AAAA", 1))
    return body.sealed(forged, [identities["alice"]], random.Random(2))


def test_each_lack_is_denied_by_its_own_exception_and_the_right_one_passes(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    alice.queue(0, "-p", "udp", "--dport", str(PORT))
    stage = Stage(Setting(keyring.load(KEYS)), "strict")
    folder = tmp_path / "daemon"
    folder.mkdir()
    daemon = Daemon(
        alice,
        folder,
        tables=f'trust = "{KEYS}/ca.pem"\n'
        f'[templates]\ndirectory = "{ROOT}/rules/templates/strict"\n'
        f'[evidence]\ndirectory = "{folder}/evidence"\nkey = "{folder}/evidence.key"\nkeep = "signed"\n',
    )
    plain = stage.plain(BOB)
    expected = {
        "service-missing": body.sealed(plain, [stage.identities["alice"]], random.Random(3)),
        "bad-signature": wrongly_signed(stage),
        "untrusted-signer": stage.sealed(stage.plain(BOB), "impostor", "alice"),
        "identity-mismatch": stage.sealed(stage.plain(BOB), "charles", "alice"),
    }
    right = stage.call(BOB, ALICE).invite(stage.sealed(stage.plain(BOB), "bob", "alice")).octets()
    with alice.socket(port=PORT) as phone, bob.socket(port=PORT) as caller:
        for each in expected.values():
            invite = stage.call(BOB, ALICE).invite(each).octets()
            caller.sendto(invite, phone.getsockname())
        caller.sendto(right, phone.getsockname())
        assert phone.recv(65536) == right
        wait_until(lambda: len(daemon.events()) == 5, "five events", process=daemon.process)
    events = sorted(daemon.events(), key=lambda event: int(event["frame"]))
    assert [event.get("exception") or event["reason"] for event in events] == [*expected, "first-use"]
    assert [event.get("outcome") or event["verdict"] for event in events] == ["deny"] * 4 + ["accept"]
    assert daemon.metric("replay_monitor_evidence_written_total") == 5
    assert daemon.stop() == 0

    place = ("--directory", str(folder / "evidence"))
    assert main(["evidence", "verify", *place]) == 0
    capsys.readouterr()
    assert main(["evidence", "list", "--json", *place]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [bool(entry["signer"]) for entry in sorted(entries, key=lambda entry: int(entry["frame"]))] == [
        *(False, False),
        *(True, True, True),
    ]
    (segment,) = (folder / "evidence").glob("*.jsonl")
    octets = segment.read_bytes()
    at = len(octets) // 2
    segment.write_bytes(octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :])
    assert main(["evidence", "verify", *place]) == 1

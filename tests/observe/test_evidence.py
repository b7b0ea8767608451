"""The evidence log: what is kept, that it goes on after whatever ended it, and that tampering shows."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from exhibits import kept, signed_invite

from monitor.exhibit import Keep
from monitor.observe import entry, evidence
from monitor.observe.audit import Audit, public_key
from monitor.observe.entry import HEAD, PUBLIC_KEY, START, Entry, EvidenceError
from monitor.observe.evidence import EvidenceLog, signing_key

KEY = Ed25519PrivateKey.generate()
ROOM = 1 << 30


def opened(directory: Path, key: Ed25519PrivateKey = KEY, limit: int = ROOM) -> EvidenceLog:
    return EvidenceLog(directory, key, limit=limit)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A log of four entries, written in two batches."""
    path = tmp_path / "evidence"
    log = opened(path)
    exhibits = kept(Keep.ALL)
    assert log.write(exhibits[:1])
    assert log.write(exhibits[1:])
    assert (log.written, log.lost) == (4, 0)
    log.close()
    return path


def entries(directory: Path) -> list[Entry]:
    found = [entry.decode(line.octets) for path in entry.segments(directory) for line in entry.lines(path)]
    assert None not in found
    return [each for each in found if each is not None]


def findings(directory: Path, key: Ed25519PrivateKey = KEY, **more: int) -> list[str]:
    return list(Audit(directory, key.public_key(), **more).findings())  # type: ignore[arg-type]


def segment(directory: Path) -> Path:
    (path,) = entry.segments(directory)
    return path


class TestWhatIsKept:
    def test_each_choice_takes_in_the_one_before(self) -> None:
        calls = {keep: [exhibit.records[-1].document()["call_id"] for exhibit in kept(keep)] for keep in Keep}
        assert calls == {
            Keep.DENIALS: ["call-2"],
            Keep.SIGNED: ["call-2", "call-signed"],
            Keep.ALL: ["call-1", "call-2", "call-signed", "call-3"],
        }

    def test_an_entry_says_all_that_is_to_be_proved(self, directory: Path) -> None:
        first, denied, signed, stream = entries(directory)
        assert [each.head.index for each in (first, denied, signed, stream)] == [1, 2, 3, 4]
        assert signed.message == signed_invite()
        assert signed.certificate
        assert signed.document["template"] == "smime-sdes"
        assert denied.document["source"] == "192.0.2.66"
        assert denied.document["records"][-1]["reason"] == "key-reused"
        assert denied.document["policy"] == "default"
        assert (denied.certificate, denied.document["signer"]) == (b"", None)
        assert stream.document["transport"] == "tcp"
        assert stream.document["time"] == 1_700_000_000 * 10**9

    def test_files_are_for_the_owner_alone(self, directory: Path) -> None:
        assert directory.stat().st_mode & 0o077 == 0
        assert segment(directory).stat().st_mode & 0o077 == 0


class TestVerification:
    def test_a_log_as_it_was_written(self, directory: Path) -> None:
        reading = Audit(directory, KEY.public_key())
        assert list(reading.findings()) == []
        assert (reading.entries, reading.last.index, reading.torn) == (4, 4, 0)

    def test_a_single_changed_octet_anywhere(self, tmp_path: Path) -> None:
        log = opened(tmp_path / "evidence")
        log.write(kept(Keep.DENIALS))
        log.close()
        path = segment(tmp_path / "evidence")
        octets = path.read_bytes()
        for at in range(len(octets)):
            path.write_bytes(octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :])
            assert findings(path.parent), f"octet {at}, {octets[at : at + 1]!r}"

    @pytest.mark.parametrize(
        ("change", "telling"),
        [
            (lambda lines: lines[:1] + lines[2:], "entry 3: entries 2 to 2 before it are missing"),
            (lambda lines: lines[1:], "entry 2: entries 1 to 1 before it are missing"),
            (lambda lines: lines[:-1], "entry 4, of which head.json tells, is missing"),
            (lambda lines: [], "entry 4, of which head.json tells, is missing"),
            (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "out of order: entry 4 must stand here"),
            (lambda lines: [*lines, lines[3]], "out of order: entry 5 must stand here"),
            (lambda lines: [lines[0], b"{}\n", *lines[1:]], ":2: no entry can be read"),
            (lambda lines: [lines[0], lines[1][:-40], *lines[2:]], ":2: no entry can be read"),
            (lambda lines: [*lines[:3], lines[3][:-5]], "entry 4, of which head.json tells, is missing"),
        ],
    )
    def test_lines_removed_inserted_moved_and_cut(
        self, directory: Path, change: Callable[[list[bytes]], list[bytes]], telling: str
    ) -> None:
        path = segment(directory)
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
        assert any(telling in finding for finding in findings(directory)), findings(directory)

    def test_an_entry_that_was_made_anew_without_the_key(self, directory: Path, tmp_path: Path) -> None:
        other = opened(tmp_path / "other", Ed25519PrivateKey.generate())
        other.write(kept(Keep.ALL)[::-1])
        other.close()
        forged = segment(tmp_path / "other").read_bytes().splitlines(keepends=True)
        path = segment(directory)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:1], forged[1], *lines[2:]]))
        assert [finding.partition("entry ")[2] for finding in findings(directory)] == [
            "2: the signature is not by this key",
            "2: does not follow the entry before it",
            "3: does not follow the entry before it",
        ]

    def test_another_key(self, directory: Path) -> None:
        told = findings(directory, Ed25519PrivateKey.generate())
        assert len(told) == 5
        assert all("signature is not by this key" in finding for finding in told)

    def test_a_log_cut_off_with_its_head_shows_only_against_a_note(self, directory: Path) -> None:
        noted = entries(directory)[-1].head
        path = segment(directory)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:2]))
        rolled = entries(directory)[-1].head
        (directory / HEAD).write_bytes(rolled.encode())
        assert findings(directory) == []
        told = list(Audit(directory, KEY.public_key(), anchor=(noted.index, noted.hash)).findings())
        assert told == ["entry 4, of which the note tells, is missing"]

    def test_a_missing_head_is_told(self, directory: Path) -> None:
        (directory / HEAD).unlink()
        (told,) = findings(directory)
        assert "whether the log was cut off cannot be told" in told

    def test_older_segments_may_have_been_put_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(evidence, "SEGMENT", 1)
        path = tmp_path / "evidence"
        log = opened(path)
        for exhibit in kept(Keep.ALL):
            log.write([exhibit])
        log.close()
        assert [each.name[-8:-6] for each in entry.segments(path)] == ["01", "02", "03", "04"]
        assert findings(path) == []
        entry.segments(path)[0].unlink()
        assert findings(path) != []
        assert findings(path, first=2) == []
        entry.segments(path)[1].rename(path / entry.segment_name(9))
        assert findings(path, first=2) != []

    def test_a_line_without_end_takes_no_memory(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(entry, "MAX_LINE", 4096)
        monkeypatch.setattr("monitor.observe.audit.MAX_LINE", 4096)
        with segment(directory).open("ab") as file:
            file.write(b"x" * 1_000_000)
        assert all(len(line.octets) <= 4096 for line in entry.lines(segment(directory)))
        assert any(":5: no entry can be read" in finding for finding in findings(directory))


class TestGoingOn:
    def test_a_log_that_is_opened_again_goes_on(self, directory: Path) -> None:
        log = opened(directory)
        assert log.write(kept(Keep.DENIALS))
        log.close()
        assert findings(directory) == []
        assert [each.head.index for each in entries(directory)] == [1, 2, 3, 4, 5]

    def test_an_entry_cut_short_by_a_kill_is_no_tampering(
        self, directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = segment(directory)
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:100])
        reading = Audit(directory, KEY.public_key())
        assert list(reading.findings()) == []
        assert reading.torn == 100
        log = opened(directory)
        assert "an unfinished entry of 100 octets is cut off" in caplog.text
        assert log.write(kept(Keep.DENIALS))
        log.close()
        assert findings(directory) == []

    def test_a_kill_before_the_first_head(self, tmp_path: Path) -> None:
        path = tmp_path / "evidence"
        log = opened(path)
        head = (path / HEAD).read_bytes()
        assert findings(path) == []
        log.write(kept(Keep.DENIALS))
        log.close()
        (path / HEAD).write_bytes(head)
        assert findings(path) == []

    def test_a_kill_between_entry_and_head(self, directory: Path) -> None:
        (directory / HEAD).write_bytes(entries(directory)[1].head.encode())
        assert findings(directory) == []
        log = opened(directory)
        assert log.head.index == 4
        log.close()

    def test_what_is_missing_stays_missing(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = segment(directory)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
        log = opened(directory)
        assert "missing or changed" in caplog.text
        assert log.write(kept(Keep.DENIALS))
        log.close()
        (told,) = findings(directory)
        assert "entry 5: entries 3 to 4 before it are missing" in told

    def test_a_forged_head_leads_nowhere(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        forged = replace(entries(directory)[-1].head, index=10**17, hash="f" * 64)
        (directory / HEAD).write_bytes(forged.encode())
        assert any("head.json: the signature" in finding for finding in findings(directory))
        log = opened(directory)
        assert "missing or changed" in caplog.text
        assert log.head.index == 4
        log.close()

    def test_a_segment_that_was_only_begun(self, directory: Path) -> None:
        (directory / entry.segment_name(5)).touch()
        log = opened(directory)
        assert log.write(kept(Keep.DENIALS))
        log.close()
        assert findings(directory) == []

    def test_a_full_disk_leaves_no_part_of_a_batch(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = opened(directory)
        write = os.write
        with monkeypatch.context() as patched:

            def cut(descriptor: int, octets: bytes) -> int:
                if len(octets) < 1000:
                    raise OSError(28, "No space left on device")
                return write(descriptor, octets[:-999])

            patched.setattr(os, "write", cut)
            assert not log.write(kept(Keep.ALL))
            assert not log.write(kept(Keep.ALL))
        assert log.lost == 8
        assert caplog.text.count("No space left on device") == 1
        assert log.write(kept(Keep.DENIALS))
        log.close()
        assert findings(directory) == []
        assert len(entries(directory)) == 5

    def test_the_limit_counts_what_is_there(self, directory: Path) -> None:
        size = segment(directory).stat().st_size
        log = opened(directory, limit=size + 100)
        assert not log.write(kept(Keep.DENIALS))
        assert log.lost == 1
        log.close()
        assert segment(directory).stat().st_size == size


WRITER = """
import sys
import time
from pathlib import Path
from monitor.exhibit import Exhibit
from monitor.observe.evidence import EvidenceLog, signing_key
from monitor.wire.flow import Flow
folder = Path(sys.argv[1])
flow = Flow(bytes(4), 5060, bytes(4), 5060, "udp")
exhibit = Exhibit(bytes(40_000), 1, 1, flow, bytes(4), "", "", "", b"", ())
log = EvidenceLog(folder / "evidence", signing_key(folder / "key"), limit=1 << 30)
while True:
    log.write([exhibit] * 5)
"""


def test_kills_at_any_moment_leave_a_log_that_verifies_and_goes_on(tmp_path: Path) -> None:
    head, before = tmp_path / "evidence" / HEAD, 0
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for more in (5, 20, 45):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], env=environment)
        deadline = time.monotonic() + 20
        try:
            while not head.exists() or (entry.Head.decode(head.read_bytes()) or START).index < before + more:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        finally:
            process.kill()
            process.wait(10)
        reading = Audit(tmp_path / "evidence", public_key(tmp_path / "key"))
        assert list(reading.findings()) == []
        assert reading.entries >= before + more
        before = reading.entries


class TestOpening:
    def test_one_writer_at_a_time(self, directory: Path) -> None:
        log = opened(directory)
        with pytest.raises(EvidenceError, match="another process"):
            opened(directory)
        log.close()
        opened(directory).close()

    def test_another_key_is_refused(self, directory: Path) -> None:
        with pytest.raises(EvidenceError, match="signed with another key"):
            opened(directory, Ed25519PrivateKey.generate())

    def test_a_place_that_cannot_be_used(self, tmp_path: Path) -> None:
        with pytest.raises(EvidenceError, match="No such file"):
            opened(tmp_path / "no" / "where")

    def test_the_key_is_made_once_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "evidence.key"
        made = signing_key(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert signing_key(path).private_bytes_raw() == made.private_bytes_raw()
        path.chmod(0o644)
        with pytest.raises(EvidenceError, match="chmod 600"):
            signing_key(path)

    def test_another_kind_of_key_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "evidence.key"
        path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        path.chmod(0o600)
        with pytest.raises(EvidenceError, match="no Ed25519 private key"):
            signing_key(path)
        with pytest.raises(EvidenceError, match="no Ed25519 key"):
            public_key(path)

    def test_the_public_key_lies_beside_the_log(self, directory: Path, tmp_path: Path) -> None:
        copy = shutil.copy(directory / PUBLIC_KEY, tmp_path)
        assert public_key(Path(copy)) == KEY.public_key()

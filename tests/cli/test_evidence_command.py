"""``replay-monitor evidence``: what it prints, what it writes, and that other programs can read that."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from exhibits import KEYS, kept, signed_invite

from monitor.__main__ import main
from monitor.capture.pcap import open_capture
from monitor.cli import evidence
from monitor.exhibit import Keep
from monitor.observe import entry
from monitor.observe.evidence import EvidenceLog
from monitor.observe.export import packets
from monitor.wire.address import pack
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Flow, Segment
from monitor.wire.frame import Frame
from monitor.wire.link import RAW

SIGNED = 3
"""The entry that is signed."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A log of four entries."""
    path = tmp_path / "evidence"
    log = EvidenceLog(path, Ed25519PrivateKey.generate(), limit=1 << 30)
    log.write(kept(Keep.ALL))
    log.close()
    return path


def run(*arguments: object) -> int:
    return main(["evidence", *map(str, arguments)])


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_list_is_a_line_for_each(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--directory", directory) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert [line.split()[4] for line in lines[1:]] == ["first-use", "key-reused", "first-use", "first-use"]
    assert lines[SIGNED].split()[5] == "bob"
    assert all(line.endswith("INVITE sip:alice@example.org SIP/2.0") for line in lines[1:])


def test_a_line_of_the_list_that_is_cut_says_so(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "WIDEST", 90)
    run("list", "--directory", directory)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [(len(line), line[-1]) for line in lines] == [(90, "…")] * 4


def test_list_as_json_tells_all_but_the_octets(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json", "--directory", directory) == 0
    told: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["index"] for each in told] == [1, 2, 3, 4]
    assert told[1]["previous"] == told[0]["hash"]
    assert told[SIGNED - 1]["octets"] == len(signed_invite())
    assert told[SIGNED - 1]["signer"]
    assert not {"message", "certificate"} & told[0].keys()


def test_list_of_a_damaged_log_goes_on(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = entry.segments(directory)
    path.write_bytes(b"{}\n\x1b[2J\n" + path.read_bytes())
    assert run("list", "--directory", directory) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 5
    assert captured.err.count("no entry can be read") == 2


def test_verify_tells_the_head_to_be_noted(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--directory", directory) == 0
    told = capsys.readouterr().out
    assert "4 entries, all as written" in told
    head = told.split("head ")[1].strip()
    assert run("verify", "--directory", directory, "--head", head) == 0
    assert run("verify", "--directory", directory, "--head", f"9:{'0' * 64}") == 1


def test_verify_finds_a_changed_octet(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = entry.segments(directory)
    path.write_bytes(path.read_bytes().replace(b'"192.0.2.66"', b'"192.0.2.67"', 1))
    assert run("verify", "--directory", directory) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(":2: entry 2: changed: the hash is another")
    assert "1 findings" in told[-1]
    assert run("export", "2", "--out", directory / "out", "--directory", directory) == 2
    assert "not as it was signed" in capsys.readouterr().err


def test_verify_of_a_ruined_log_is_brief(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = entry.segments(directory)
    path.write_bytes(b"x\n" * 1000)
    assert run("verify", "--directory", directory) == 1
    assert len(capsys.readouterr().out.splitlines()) == 22


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--directory", "/no/such"),
        ("list", "--config", "/no/such.toml"),
        ("verify", "--directory", "/no/such"),
        ("verify", "--key", "/no/such.pem"),
        ("export", "99", "--out", "x"),
    ],
)
def test_what_cannot_be_read_is_2(
    arguments: tuple[str, ...], directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "monitor.toml"
    config.write_text('[evidence]\ndirectory = "evidence"\n')
    place = () if "--directory" in arguments or "--config" in arguments else ("--config", config)
    assert run(*arguments, *place) == 2


def test_the_configuration_names_the_log(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = directory.parent / "monitor.toml"
    config.write_text(f'[evidence]\ndirectory = "{directory}"\n')
    assert run("verify", "--config", config) == 0
    config.write_text("")
    assert run("verify", "--config", config) == 2
    assert "[evidence] has no directory" in capsys.readouterr().err


def test_exported_message_and_capture_are_what_came(directory: Path, tmp_path: Path) -> None:
    for index, kind in ((1, Datagram), (4, Segment)):
        folder = tmp_path / str(index)
        assert run("export", index, "--out", folder, "--directory", directory) == 0
        message = (folder / "message.sip").read_bytes()
        with open_capture(str(folder / "message.pcap")) as frames:
            units = [(frame.time, Decoder().decode(frame)) for frame in frames]
        exhibit = kept(Keep.ALL)[index - 1]
        assert message == exhibit.message
        ((time, unit),) = units
        assert time == exhibit.time
        assert isinstance(unit, kind)
        assert (unit.flow, unit.payload) == (exhibit.flow, message)
        ruling = json.loads((folder / "ruling.json").read_text())
        assert ruling["records"][-1]["call_id"] == exhibit.records[-1].document()["call_id"]


def test_large_and_ipv6_messages_are_rebuilt_with_right_checksums() -> None:
    for source, transport, size in (("2001:db8::5", "udp", 60_001), ("192.0.2.5", "tcp", 200_000)):
        flow = Flow(pack(source), 5060, pack(source), 5061, transport)  # type: ignore[arg-type]
        payload = b""
        for number, packet in enumerate(packets(flow, bytes(size)), 1):
            unit = Decoder().decode(Frame(number, 0, RAW, packet, len(packet)))
            assert isinstance(unit, Datagram | Segment)
            assert unit.trouble is None
            assert unit.flow == flow
            payload += unit.payload
        assert payload == bytes(size)


@pytest.mark.oracle
def test_openssl_verifies_the_entry_and_the_signature_of_the_message(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("export", SIGNED, "--out", out, "--directory", directory) == 0
    assert {path.name for path in out.iterdir()} == {
        *("message.sip", "message.pcap", "ruling.json", "entry.json", "signed.txt", "signature.bin"),
        *("evidence.pub", "signer.pem", "smime.signed", "smime.p7s"),
    }
    digest = openssl("dgst", "-sha256", "-r", out / "entry.json").stdout.split()[0]
    assert (out / "signed.txt").read_text() == f"sip-replay-monitor evidence {digest}\n"
    site = ("-pubin", "-inkey", out / "evidence.pub")
    signature = ("-rawin", "-in", out / "signed.txt", "-sigfile", out / "signature.bin")
    assert openssl("pkeyutl", "-verify", *site, *signature).returncode == 0
    sender = ("-inform", "DER", "-in", out / "smime.p7s", "-content", out / "smime.signed", "-binary")
    trust = ("-CAfile", KEYS / "ca.pem", "-certfile", out / "signer.pem")
    verified = openssl("cms", "-verify", *sender, *trust, "-out", tmp_path / "content")
    assert verified.returncode == 0, verified.stderr
    assert (tmp_path / "content").read_bytes() == (out / "smime.signed").read_bytes()


@pytest.mark.oracle
def test_wireshark_reads_the_capture(directory: Path, tmp_path: Path) -> None:
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed")
    for index in (1, 4):
        out = tmp_path / str(index)
        assert run("export", index, "--out", out, "--directory", directory) == 0
        checks = [word for name in ("udp", "tcp", "ip") for word in ("-o", f"{name}.check_checksum:TRUE")]
        fields = ("-T", "fields", "-e", "sip.Call-ID", "-e", "_ws.expert.message")
        read = subprocess.run(
            [program, "-r", str(out / "message.pcap"), *checks, *fields],
            capture_output=True,
            text=True,
            check=True,
        )
        call, _, trouble = read.stdout.rstrip("\n").partition("\t")
        assert call == ("call-1" if index == 1 else "call-3")
        assert "hecksum" not in trouble

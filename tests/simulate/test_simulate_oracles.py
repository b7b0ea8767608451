"""What others say of the simulated traffic: Wireshark of every frame, OpenSSL of every envelope."""

import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.simulate import captures, cms, keyring
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting
from monitor.simulate.writer import write

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"
ERROR, WARNING = 0x800000, 0x600000
"""Severities of Wireshark's expert information."""
UNDERSTOOD = {
    # Its strings end at the first NUL, which binary bodies have.
    "Trailing stray characters": None,
    # It knows no transfer encoding in SIP, and reads base64 as BER.
    "BER Error": {"sealed-binary-and-base64", "other-transfer-encoding", "all-at-once", "replay-attack"},
    # The attribute there is of our own making.
    "BER: Dissector for OID not implemented": {"unprotected-attributes", "all-at-once"},
}
"""Warnings by their beginning, and the scenarios that may have them (None: all)."""

NEVER_WHOLE = {"overlapping-fragments", "cut-off"}
"""Scenarios with datagrams that nobody can put together."""


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_wireshark_reads_every_frame(tmp_path: Path) -> None:
    scenarios = captures.in_turn(RECIPES.values(), Setting(keyring.load(KEYS)))
    owners = [scenario.name for scenario in scenarios for _ in scenario.frames]
    path = tmp_path / "all.pcap"
    with path.open("wb") as file:
        write(captures.joined(scenarios), file)
    read, sip = 0, defaultdict(set)
    for line in _tshark(path).splitlines():
        frame, is_sip, severities, messages = line.split("\t")
        name = owners[int(frame) - 1]
        read += 1
        if is_sip:
            sip[name].add(int(frame) - owners.index(name))
        for severity, message in zip(severities.split(";"), messages.split(";"), strict=True):
            if severity:
                _judge(name, int(severity), message)
    assert read == len(owners)
    for scenario in scenarios:
        if scenario.name not in NEVER_WHOLE:
            assert sip[scenario.name] == {sent.frame for sent in scenario.messages}, scenario.name


def _judge(name: str, severity: int, message: str) -> None:
    assert severity < ERROR, (name, message)
    if severity == WARNING:
        allowed = next((names for text, names in UNDERSTOOD.items() if message.startswith(text)), set())
        assert allowed is None or name in allowed, (name, message)


def _tshark(path: Path) -> str:
    checks = ("ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "tcp.check_checksum:TRUE")
    options = [part for check in checks for part in ("-o", check)]
    fields = ("frame.number", "sip.CSeq", "_ws.expert.severity", "_ws.expert.message")
    wanted = [part for field in fields for part in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), *options, "-T", "fields", "-E", "aggregator=;", *wanted]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


DISGUISES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "none": lambda blob, rng: blob,
    "indefinite": cms.indefinite,
    "attribute": cms.with_attribute,
    "recipient": cms.with_recipient,
    "reordered": cms.reordered_recipients,
}


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("key_length", [16, 24, 32])
@pytest.mark.parametrize("detached", [True, False])
def test_openssl_opens_and_verifies(tmp_path: Path, key_length: int, detached: bool) -> None:
    identities, rng, content = keyring.load(KEYS), random.Random(1), b"v=0\r\n" * 200
    (tmp_path / "content").write_bytes(content)
    signed = cms.signature(content, identities["bob"], 1_700_000_000, detached=detached)
    for name, disguise in DISGUISES.items():
        recipients = [identities["alice"], identities["bob"]]
        blob = disguise(cms.envelope(signed, recipients, rng, key_length), rng)
        (tmp_path / "envelope").write_bytes(blob)
        for holder in ("alice", "bob"):
            key, certificate = keyring.key_file(KEYS, holder), keyring.certificate_file(KEYS, holder)
            opened = _openssl(
                tmp_path, "-decrypt", "-in", "envelope", "-inkey", str(key), "-recip", str(certificate)
            )
            assert opened == signed, (name, holder)
    (tmp_path / "signed").write_bytes(signed)
    aside = ["-content", "content"] if detached else []
    verify = ("-verify", "-in", "signed", "-CAfile", str(KEYS / "ca.pem"), "-binary")
    assert _openssl(tmp_path, *verify, *aside) == content


def _openssl(folder: Path, *arguments: str) -> bytes:
    command = ["openssl", "cms", *arguments, "-inform", "DER"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout

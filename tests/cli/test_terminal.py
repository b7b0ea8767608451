"""What strangers write into messages is shown as text, and does nothing to the terminal of who looks."""

from pathlib import Path

import pytest
from frames import invite, sdp, udp
from pages import capture

from monitor.__main__ import main
from monitor.antireplay.association import Association
from monitor.antireplay.observation import Observation, Tier, Transaction
from monitor.antireplay.table import Change
from monitor.config.secret import secret_check, site_secret
from monitor.store.location import open_store

TITLE, CLEAR, CSI, TURNED = "\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\u202e"
HOSTILE = TITLE + CLEAR + CSI + TURNED
"""Sets the title of a window, clears the screen, colours, and turns what follows round."""


def harmless(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


def test_a_captures_start_lines_and_details(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = invite(sdp("A" * 40)).replace(b"sip:alice", b"sip:" + HOSTILE.encode(), 1)
    again = message.replace(b"call-1", HOSTILE.encode())
    path = capture(
        tmp_path / "a.pcap", udp("192.0.2.5", "192.0.2.1", message), udp("192.0.2.5", "192.0.2.1", again)
    )
    assert main(["replay", path]) == 1
    out = capsys.readouterr().out
    assert "owned" in out
    assert harmless(out)


@pytest.mark.parametrize("cut", [True, False])
def test_a_captures_name(cut: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{tmp_path}/{HOSTILE}\n.pcap"
    if cut:
        capture(Path(path), udp("192.0.2.5", "192.0.2.1", invite(sdp("A" * 40))))
        with Path(path).open("r+b") as file:
            file.truncate(60)
    assert main(["replay", path]) == (0 if cut else 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\n.pcap: c" in line
    assert harmless(line)


@pytest.mark.parametrize("action", ["list", "show", "forget"])
def test_what_is_kept_of_a_call_id(action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret, url = tmp_path / "secret", f"sqlite:///{tmp_path}/a.db"
    config = tmp_path / "monitor.toml"
    config.write_text(
        f'[secret]\nfile = "{secret}"\n[store]\nurl = "{url}"\n[control]\nsocket = "{tmp_path}/none"\n'
    )
    seen = Observation(
        Tier.MASTER_KEY,
        1_700_000_000 * 10**9,
        b"call",
        f"tag:{HOSTILE}",
        None,
        Transaction("INVITE", 1, None, 42, None),
        bytes((192, 0, 2, 2)),
        bytes((192, 0, 2, 2)),
        bytes((192, 0, 2, 1)),
        call_id=HOSTILE,
    )
    store = open_store(url, secret_check=secret_check(site_secret(secret)))
    assert store.compare_and_swap([Change(bytes(32), None, Association.of(seen).encode(), 1 << 62)])
    store.commit()
    store.close()
    spi = [] if action == "list" else ["00000000"]
    assert main(["associations", action, *spi, "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "owned" in out
    assert harmless(out)

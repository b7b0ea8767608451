"""Events under load while the real logrotate works by the snippet that comes with us."""

import base64
import gzip
import json
import random
import re
import shutil
import threading
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from calls import make_stage
from daemon import PORT, ROOT, Daemon
from namespaces import Network, wait_until

from monitor.simulate.party import ALICE, BOB

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("logrotate") is None, reason="needs logrotate"),
]
SNIPPET = ROOT / "systemd" / "replay-monitor.logrotate"
ROTATIONS = 8
WINDOW = 30
"""Calls that are under way at a time."""


def configuration(folder: Path, pid: int) -> str:
    """The snippet for a daemon whose files are in ``folder``, and which no service manager knows."""
    text = SNIPPET.read_text().replace("/var/log/replay-monitor/*", f"{folder}/*")
    text = re.sub(r"^ +su .*\n", "", text, flags=re.MULTILINE).replace(
        "0640 replay-monitor replay-monitor", "0640"
    )
    text, changes = re.subn(r"systemctl reload .*", f"kill -HUP {pid}", text)
    assert changes == 1
    return text


def writes_to(pid: int, path: Path) -> bool:
    """Whether a process has that very file open."""
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if each.samefile(path):
                return True
    return False


def call_ids(file: Path) -> list[str]:
    """Of the rulings in a file of events, compressed or not."""
    octets = file.read_bytes()
    text = gzip.decompress(octets) if file.suffix == ".gz" else octets
    return [event["call_id"] for event in map(json.loads, text.splitlines()) if event["type"] == "ruling"]


def test_every_ruling_is_in_one_file_however_they_are_rotated(network: Network, tmp_path: Path) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    alice.queue(0, "-p", "udp", "--dport", str(PORT))
    folder = tmp_path / "daemon"
    folder.mkdir()
    daemon = Daemon(alice, folder, keys=None)
    rotation = tmp_path / "logrotate.conf"
    rotation.write_text(configuration(folder, daemon.process.pid))
    stage = make_stage("rotation")
    invite = stage.call(BOB, ALICE).invite(stage.plain(BOB))
    octets, call_id = invite.octets(), invite.header("Call-ID").encode()
    key = re.findall(rb"inline:([A-Za-z0-9+/]{40})", octets)[0]
    rng = random.Random(5)
    with alice.socket(port=PORT) as phone, bob.socket() as caller:
        sent, done = count(), threading.Event()

        def call() -> None:
            fresh = octets.replace(key, base64.b64encode(rng.randbytes(30)))
            caller.sendto(fresh.replace(call_id, b"%d" % next(sent)), phone.getsockname())

        def calls() -> None:
            for _ in range(WINDOW):
                call()
            while not done.is_set():
                phone.recv(65536)
                call()
            for _ in range(WINDOW):
                phone.recv(65536)

        sender = threading.Thread(target=calls)
        sender.start()
        for _ in range(ROTATIONS):
            wait_until(lambda: daemon.events_file.stat().st_size > 50_000, "events", 30, daemon.process)
            alice.run("logrotate", "--force", "--state", str(tmp_path / "state"), str(rotation))
            wait_until(lambda: writes_to(daemon.process.pid, daemon.events_file), "the fresh file")
        done.set()
        sender.join()
    assert daemon.stop() == 0
    files = sorted(folder.glob("events.jsonl*"))
    assert len(files) == ROTATIONS + 1
    assert {file.suffix for file in files} == {".jsonl", ".1", ".gz"}
    told = Counter(each for file in files for each in call_ids(file))
    assert told == Counter(map(str, range(next(sent))))
    assert all(map(call_ids, folder.glob("*.gz")))

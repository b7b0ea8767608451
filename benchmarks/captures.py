"""Captures: the mix of media and INVITEs through ``replay``, beside tshark's and Suricata's reading of it."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.live import KEYS, RECIPIENT
from benchmarks.measure import Run, Series, command, side_by_side, throttling
from benchmarks.table import Row
from benchmarks.traffic import write_mix, write_sealed
from monitor.simulate.keyring import load as load_identities

PACKETS = 200_000
SEALED = 4_000
"""INVITEs in envelopes."""
RULE = 'alert sip any any -> any any (msg:"INVITE"; sip.method; content:"INVITE"; sid:1; rev:1;)\n'
_FIELDS = ("frame.number", "ip.src", "sip.Call-ID", "sip.CSeq", "sdp.media_attr")


def run(folder: Path) -> tuple[list[Row], dict[str, Any], list[str]]:
    """The rows, the numbers and the notes."""
    mix, small = folder / "mix.pcap", folder / "small.pcap"
    write_mix(mix, PACKETS)
    write_mix(small, PACKETS // 4)
    measurements = {
        "replay": lambda: _replay(mix, PACKETS, folder, "memory:"),
        "tshark": lambda: command(PACKETS, _tshark(mix)),
    }
    suricata = shutil.which("suricata") is not None
    if suricata:
        (folder / "invite.rules").write_text(RULE)
        measurements["suricata"] = lambda: command(PACKETS, _suricata(mix, folder))
    series = side_by_side(measurements)
    sealed = folder / "sealed.pcap"
    write_sealed(sealed, SEALED, load_identities(KEYS)[RECIPIENT])
    series |= side_by_side(
        {
            "sealed": lambda: _replay_sealed(sealed),
            "sealed, one core": lambda: _replay_sealed(sealed, "taskset", "--cpu-list", "0"),
        }
    )
    kept = f"sqlite:///{folder}/replay.db"
    less, most = _replay(small, PACKETS // 4, folder, kept).rss, _replay(mix, PACKETS, folder, kept).rss
    rows = [_beside("suricata", series, 1.0) if suricata else _absent(), _beside("tshark", series, 5.0)]
    rows.append(
        Row(
            "Captures: memory of a capture, and of one four times as long",
            "the same, to 10 %",
            f"{less / 1e6:.0f} MB and {most / 1e6:.0f} MB",
            most < 1.1 * less,
            "with associations in SQLite. Its cache of 64 MiB is part of the growth, as are 100,000 keys and"
            " 65,536 endpoints at the most, kept for the look at the media.",
        )
    )
    ratio = series["sealed"].rate / series["sealed, one core"].rate
    rows.append(
        Row(
            f"Captures: S/MIME, on {os.cpu_count()} cores over on one",
            "shown",
            f"{ratio:.2f} ({series['sealed'].rate:.0f} INVITEs/s)",
            None,
            "private-key work is done ahead on the further cores; all else is done in order, on one.",
        )
    )
    numbers = {name: each.document() for name, each in series.items()}
    return rows, {**numbers, "memory": {"quarter": less, "whole": most}}, throttling(series)


def _replay(capture: Path, packets: int, folder: Path, store: str) -> Run:
    """Every INVITE must have been accepted, or the figure is of something else."""
    output = folder / "replay.jsonl"
    for file in folder.glob("replay.db*"):
        file.unlink()
    arguments = [sys.executable, "-m", "monitor", "replay", "--json"]
    with output.open("wb") as told:
        run = command(packets, [*arguments, "--store", store, str(capture)], told)
    summary = output.read_bytes().splitlines()[-1]
    if b'"accepted":%d,"denied":0' % (packets // 10) not in summary:
        raise RuntimeError(f"not all INVITEs were accepted: {summary!r}")
    return run


def _replay_sealed(capture: Path, *on: str) -> Run:
    arguments = [*on, sys.executable, "-m", "monitor", "replay", "--json", "--keys", str(KEYS), str(capture)]
    return command(SEALED, arguments)


def _tshark(capture: Path) -> list[str]:
    fields = [word for name in _FIELDS for word in ("-e", name)]
    return ["tshark", "-n", "-r", str(capture), "-Y", 'sip.Method == "INVITE"', "-T", "fields", *fields]


def _suricata(capture: Path, folder: Path) -> list[str]:
    return ["suricata", "-r", str(capture), "-S", str(folder / "invite.rules"), "-l", str(folder)]


def _beside(peer: str, series: dict[str, Series], wanted: float) -> Row:
    ours, theirs = series["replay"], series[peer]
    ratio = ours.rate / theirs.rate
    measured = f"{ratio:.2f} ({ours.rate / 1000:.0f}k packets/s against {theirs.rate / 1000:.0f}k)"
    return Row(f"Captures: rate over {peer}'s", f"{wanted:g}", measured, ratio >= wanted)


def _absent() -> Row:
    return Row("Captures: rate over Suricata's", "1", "not run", None, "Suricata is not installed.")

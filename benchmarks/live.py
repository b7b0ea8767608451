"""Live: how fast a daemon rules on what waits in its queue, what it adds to calls, a flood of replays."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import traffic
from benchmarks.measure import Run, Series, cpu_seconds, family, quantile, side_by_side, throttling
from benchmarks.site import (
    BARE_PORT,
    BARE_QUEUE,
    CALLEE,
    LIBRARY_PORT,
    LIBRARY_QUEUE,
    MEDIA_PORT,
    PORT,
    QUIET_PORT,
    Message,
    Site,
    site,
)
from benchmarks.table import Row
from monitor.simulate.keyring import Identity
from monitor.simulate.keyring import load as load_identities

KEYS = Path(__file__).parents[1] / "pcaps" / "keys"
RECIPIENT = "alice"
ATTACKER = "10.66.0.66"
MEDIA = 10_000
"""Packets of one measurement of what is no SIP."""
CALLS = 4_000
SEALED = 1_500
"""Messages in envelopes of one measurement; the most that may wait for a key are fewer than 4096."""
SOURCES = 250
LATENCY_CALLS = 2_000
FLOOD_SECONDS = 4.0
LEGITIMATE_RATE = 50
PLAIN_TARGET = 25_000
BLOCK = "[block]\nenabled = true\nudp = true\n"
LIBRARY = f'numbers = {LIBRARY_QUEUE}\nreader = "library"\n[metrics]\nlisten = "off"\n'


class Calls:
    """Fresh calls, from many sources in turns."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._numbers = count(1)

    def plain(self, number: int) -> list[Message]:
        """INVITEs with an SDES key each."""
        return [self._plain(next(self._numbers)) for _ in range(number)]

    def sealed(self, number: int) -> list[Message]:
        """The same in envelopes."""
        return [self._sealed(next(self._numbers)) for _ in range(number)]

    @staticmethod
    def _host(number: int) -> str:
        return f"10.9.0.{number % SOURCES + 1}"

    def _plain(self, number: int) -> Message:
        host = self._host(number)
        return host, traffic.invite(number, host, traffic.sdp(number, host))

    def _sealed(self, number: int) -> Message:
        host = self._host(number)
        return host, traffic.sealed_invite(number, host, self._identity)


def run(folder: Path) -> tuple[list[Row], dict[str, Any], list[str]]:
    """The rows, the numbers and the notes."""
    calls = Calls(load_identities(KEYS)[RECIPIENT])
    with site() as place:
        rows, numbers, notes = _throughput(place, folder, calls)
        capacity = numbers["sealed"]["rate"]
        more, numbers["latency"] = _latencies(place, folder, calls, capacity)
        rows += more
    for blocks in (True, False):
        with site(blocks) as place:
            row, numbers["flood-blocked" if blocks else "flood"] = _flood(place, folder, calls, blocks)
            rows.append(row)
    return rows, numbers, notes


def _throughput(place: Site, folder: Path, calls: Calls) -> tuple[list[Row], dict[str, Any], list[str]]:
    daemon = place.daemon(folder / "throughput", keys=KEYS)
    library = place.daemon(folder / "library", more=LIBRARY)
    bare = place.python("-m", "benchmarks.bare", str(BARE_QUEUE)).pid
    media = [(f"10.9.0.{number % SOURCES + 1}", traffic.rtp(number)) for number in range(MEDIA)]
    known: list[Message] = []

    def sealed() -> Run:
        messages = calls.sealed(SEALED)
        known[:] = [(ATTACKER, octets) for _, octets in messages]
        return place.drain(daemon, messages)

    series = side_by_side(
        {
            "bare": lambda: place.drain(bare, media, BARE_PORT),
            "media": lambda: place.drain(daemon, media, MEDIA_PORT),
            "library": lambda: place.drain(library, media, LIBRARY_PORT),
            "plain": lambda: place.drain(daemon, calls.plain(CALLS)),
            "decryptions": _decryptions,
            "sealed": sealed,
        }
    )
    keyholder = family(daemon)[1:]
    before = cpu_seconds(keyholder)
    series |= side_by_side({"replays": lambda: place.drain(daemon, known)})
    private = cpu_seconds(keyholder) - before
    for each in (daemon, library, bare):
        place.end(each)
    numbers: dict[str, Any] = {name: each.document() for name, each in series.items()}
    numbers["replays"]["keyholder_seconds"] = private
    return _throughput_rows(series, private), numbers, throttling(series)


def _throughput_rows(series: dict[str, Series], private: float) -> list[Row]:
    media, plain = series["bare"].cost / series["media"].cost, 1 / series["plain"].cost
    library = series["bare"].cost / series["library"].cost
    sealed = series["sealed"].rate / series["decryptions"].rate
    replays = series["plain"].cost / series["replays"].cost
    return [
        Row(
            "Live: what is no SIP, over a bare accept-all callback",
            "0.85",
            f"{media:.2f} ({_thousands(1 / series['media'].cost)} packets/s of CPU"
            f" against {_thousands(1 / series['bare'].cost)})",
            media >= 0.85,
        ),
        Row(
            'Live: the same with [queue] reader = "library"',
            "shown",
            f"{library:.2f} ({_thousands(1 / series['library'].cost)} packets/s of CPU)",
            None,
        ),
        Row("Live: plain SDES INVITEs on one core", "25k/s", f"{_thousands(plain)}/s", plain >= PLAIN_TARGET),
        Row(
            "Live: S/MIME INVITEs (RSA-2048), over openssl's operations on all cores",
            "0.85",
            f"{sealed:.2f} ({series['sealed'].rate:.0f}/s against {series['decryptions'].rate:.0f}/s)",
            sealed >= 0.85,
        ),
        Row(
            "Live: replays of known envelopes from elsewhere, over plain INVITEs",
            "1, no private-key operation",
            f"{replays:.2f} ({_thousands(1 / series['replays'].cost)}/s),"
            f" keyholder {private * 1000:.0f} ms of CPU",
            replays >= 1 and private < 0.05,
        ),
    ]


def _decryptions() -> Run:
    """Private-key operations of all cores together, as ``openssl speed`` counts them.

    OpenSSL 3.0 counts signatures only, which are the same operation.
    """
    cores = os.cpu_count() or 1
    began, before = time.perf_counter(), os.times()
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-multi", str(cores), "rsa2048"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - began, os.times()
    # +F2:number:bits:private operations in a second:public ones
    line = next(line for line in done.stdout.splitlines() if line.startswith("+F2:"))
    rate = float(line.split(":")[3])
    # Half of the time goes to public-key operations; what counts is how much of it was had.
    share = (after.children_user - before.children_user) / (wall * cores)
    return Run(round(rate), 1.0, share * cores, cores)


@contextmanager
def _listening(place: Site, port: int) -> Iterator[dict[str, Any]]:
    """A callee; what it tells is there once the block is left."""
    listener = place.python("-m", "benchmarks.listener", CALLEE, str(port))
    told: dict[str, Any] = {}
    yield told
    time.sleep(1)  # for what is still waited for
    assert listener.stdin is not None
    assert listener.stdout is not None
    listener.stdin.close()
    told.update(json.loads(listener.stdout.readline()))
    listener.wait(10)


def _send_at(place: Site, messages: Sequence[Message], rate: float, port: int = PORT) -> None:
    """Send them evenly, each with the time in it."""
    due = time.perf_counter()
    for source, octets in messages:
        due += 1 / rate
        if (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        stamp = b"%020d" % time.time_ns()
        place.socket(source).sendto(octets.replace(traffic.STAMP, stamp, 1), (CALLEE, port))


def _delays(place: Site, messages: Sequence[Message], rate: float, port: int) -> list[float]:
    with _listening(place, port) as told:
        _send_at(place, messages, rate, port)
    delays: list[float] = told["delays"]
    return delays


def _latencies(place: Site, folder: Path, calls: Calls, capacity: float) -> tuple[list[Row], dict[str, Any]]:
    rate = capacity / 2
    base = quantile(_delays(place, calls.sealed(LATENCY_CALLS // 2), rate, QUIET_PORT), 0.5)
    rows: list[Row] = []
    numbers: dict[str, Any] = {"rate": rate, "base": base}
    for durability in ("process", "power"):
        daemon = place.daemon(folder / f"latency-{durability}", durability, KEYS)
        messages = calls.sealed(LATENCY_CALLS)
        delays = _delays(place, messages, rate, PORT)
        place.end(daemon)
        half, most = (quantile(delays, share) - base for share in (0.5, 0.99))
        numbers[durability] = {"p50": half, "p99": most, "arrived": len(delays), "sent": len(messages)}
        rows.append(
            Row(
                f'Live: added latency of S/MIME at {rate:.0f}/s, durability "{durability}"',
                "p50 < 1 ms, p99 < 5 ms" if durability == "process" else "shown",
                f"p50 {half * 1000:.2f} ms, p99 {most * 1000:.2f} ms",
                half < 0.001 and most < 0.005 if durability == "process" else None,
                "" if len(delays) == len(messages) else f"{len(messages) - len(delays)} were lost.",
            )
        )
    return rows, numbers


def _flood(place: Site, folder: Path, calls: Calls, blocks: bool) -> tuple[Row, dict[str, Any]]:
    """One source sends a recorded envelope again and again while others call."""
    more = BLOCK if blocks else ""
    daemon = place.daemon(folder / f"flood-{blocks}", keys=KEYS, more=more)
    recorded = calls.sealed(1)[0][1]
    legitimate = calls.sealed(round(FLOOD_SECONDS * LEGITIMATE_RATE))
    place.send([("10.9.0.1", recorded)])
    time.sleep(0.5)
    stop, sent = threading.Event(), [0]
    attacker = place.socket(ATTACKER)

    def flood() -> None:
        while not stop.is_set():
            for _ in range(256):
                attacker.sendto(recorded, (CALLEE, PORT))
            sent[0] += 256

    with _listening(place, PORT) as told:
        thread = threading.Thread(target=flood)
        thread.start()
        _send_at(place, legitimate, LEGITIMATE_RATE)
        stop.set()
        thread.join()
        _, lost = place.waiting(daemon, 0)
    place.end(daemon)
    delays = told["delays"]
    arrived = len(delays)
    rate = sent[0] / FLOOD_SECONDS
    measured = (
        f"{arrived} of {len(legitimate)} arrived, {rate / 1000:.0f}k replays/s, {lost} packets found no room"
    )
    numbers = {"sent": len(legitimate), "arrived": arrived, "replays": sent[0], "lost_packets": lost}
    if delays:
        measured += f", p50 {quantile(delays, 0.5) * 1000:.0f} ms"
    how = "the block set" if blocks else "none"
    met = arrived == len(legitimate) if blocks else None
    wanted = "none lost" if blocks else "shown"
    return Row(
        f"Live: legitimate calls beside a flood of replays, with {how}", wanted, measured, met
    ), numbers


def _thousands(rate: float) -> str:
    return f"{rate / 1000:.1f}k"

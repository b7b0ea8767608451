"""Send the UDP datagrams of a capture anew, each from where it came from, to try a monitor with.

Run it where all addresses of the capture are this host's own, as in a network namespace made for that
(docs/walkthrough.md).
"""

import argparse
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monitor.capture.pcap import open_capture
from monitor.capture.reader import CaptureError
from monitor.wire import address
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, WireError
from monitor.wire.frame import NANOSECONDS


def main() -> int:
    """0 where all was sent, 2 where it cannot be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("capture", metavar="CAPTURE")
    parser.add_argument("--longest", type=float, default=0.5, metavar="SECONDS", help="cut pauses to that")
    options = parser.parse_args()
    try:
        datagrams = _datagrams(options.capture)
        sockets = {end: _socket(*end) for end in {end for _, each in datagrams for end in _ends(each)}}
    except (CaptureError, OSError) as error:
        print(f"{options.capture}: {error}", file=sys.stderr)
        return 2
    before = datagrams[0][0] if datagrams else 0
    for at, each in datagrams:
        time.sleep(min((at - before) / NANOSECONDS, options.longest))
        before = at
        flow = each.flow
        to = address.text(flow.destination), flow.destination_port
        sockets[flow.source, flow.source_port].sendto(each.payload, to)
    print(f"{len(datagrams)} datagrams sent.")
    return 0


def _datagrams(path: str) -> list[tuple[int, Datagram]]:
    """All that are whole, with their times."""
    decoder, found = Decoder(), []
    with open_capture(path, 1) as capture:
        for frame in capture:
            try:
                decoded = decoder.decode(frame)
            except WireError:
                continue
            if isinstance(decoded, Datagram):
                found.append((frame.time, decoded))
    return found


def _ends(datagram: Datagram) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    flow = datagram.flow
    return (flow.source, flow.source_port), (flow.destination, flow.destination_port)


def _socket(packed: bytes, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        made.bind((address.text(packed), port))
    except OSError as error:
        raise OSError(f"{address.text(packed)} port {port}: {error.strerror}") from error
    return made


if __name__ == "__main__":
    raise SystemExit(main())

"""Takes in the INVITEs that came through, in a process of its own, and tells when each of them did."""

import json
import re
import select
import socket
import sys
import time
from collections import Counter

STAMP = re.compile(rb"\r\nX-Sent: (\d{20})\r\n")


def main() -> None:
    """Listen on the named address until standard input ends; print delays (seconds), counts by source."""
    address, port = sys.argv[1:]
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    listener.bind((address, int(port)))
    print("ready", flush=True)
    delays: list[float] = []
    sources: Counter[str] = Counter()
    while True:
        ready, _, _ = select.select((listener, sys.stdin), (), ())
        if listener not in ready:
            break
        datagram, source = listener.recvfrom(65536)
        now = time.time_ns()
        sources[source[0]] += 1
        if (found := STAMP.search(datagram)) and int(found[1]):
            delays.append((now - int(found[1])) / 1e9)
    print(json.dumps({"delays": delays, "sources": sources}), flush=True)


if __name__ == "__main__":
    main()

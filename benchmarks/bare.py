"""What the live figures are compared with: a callback that accepts all, of the same library."""

import sys

from netfilterqueue import NetfilterQueue


def main() -> None:
    """Accept what comes on the queue that is named, until killed."""
    queue = NetfilterQueue()
    queue.bind(int(sys.argv[1]), lambda packet: packet.accept(), max_len=1 << 16, sock_len=64 << 20)
    print("ready", flush=True)
    queue.run()


if __name__ == "__main__":
    main()

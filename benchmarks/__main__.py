"""``python -m benchmarks``: measure, show the table, keep the numbers."""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import captures, growth, live
from benchmarks.machine import describe
from benchmarks.table import Report, Row

Part = Callable[[Path], tuple[list[Row], dict[str, Any], list[str]]]
PARTS: dict[str, Part] = {"captures": captures.run, "live": live.run, "growth": growth.run}


def main() -> int:
    """Exit status: 0 measured, whatever came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--size", type=float, default=1e6, metavar="N", help="associations of the part growth (default 1e6)"
    )
    parser.add_argument("--folder", type=Path, help="where the files of a run are put (default: /tmp)")
    options = parser.parse_args()
    # Ended from outside, it removes what it has made all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    growth.size = round(options.size)
    report = Report(describe(), time.strftime("%Y-%m-%d %H:%M"))
    chosen = options.parts or list(PARTS)
    for name, part in PARTS.items():
        if name not in chosen:
            report.notes.append(f"Not run: {name}.")
        elif name == "live" and os.geteuid() != 0:
            report.notes.append("Not run: live, which needs root for network namespaces. sudo make bench")
        else:
            print(f"measuring: {name} ...", flush=True)
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="replay-bench-", dir=options.folder) as folder:
                rows, numbers, notes = part(Path(folder))
            report.add(rows, name, {**numbers, "seconds": time.monotonic() - began}, notes)
    report.show()
    print(f"\nkept in {report.save()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Take the pictures of docs/images: what terminals and the report show, by tmux and chromium.

It needs root: a daemon runs for it in a network namespace of its own, and is attacked there.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
KEYS = ROOT / "pcaps" / "keys"
APART = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--net", "--mount")
INSIDE = "PICTURES_INSIDE"
"""Set in the environment of the script once it is apart."""
CONFIGURATION = """
[keys]
directory = "{keys}"
trust = "{keys}/ca.pem"
[store]
url = "sqlite://{folder}/associations.db"
[secret]
file = "secret"
[events]
file = "events.jsonl"
[control]
socket = "control"
"""
ATTACKS = ("1-calls", "3-sealed", "4-replay-attack", "5-recordings", "6-disguises")
COLOURS = 96
"""Of a picture: few make it small."""
SCALE = 1.5
"""Of pixels to CSS pixels."""
CELL = (8.43, 18)
"""Width and height of a letter, in CSS pixels."""
PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; background: #0c0c0c; padding: 12px; }}
pre {{ margin: 0; font: 14px/18px "DejaVu Sans Mono", monospace; color: #d9d9d9; }}
{stylesheet}</style><pre>{code}</pre>"""


def shot(page: Path, picture: Path, width: int, height: int, *options: str) -> None:
    """Let chromium draw a page."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--user-data-dir={profile}", f"--force-device-scale-factor={SCALE}"),
                *(f"--window-size={width},{height}", f"--screenshot={picture}", *options, page.as_uri()),
            ],
            check=True,
            capture_output=True,
        )
    with Image.open(picture) as drawn:
        drawn.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


class Terminal:
    """A terminal of a size, in which commands are run and looked at."""

    def __init__(self, columns: int, lines: int) -> None:
        self.size = columns, lines
        self._name = f"pictures-{os.getpid()}-{columns}"
        bare = "env PS1='$ ' bash --norc --noprofile"
        size = ("-x", str(columns), "-y", str(lines))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, bare)
        self._tmux("set", "-g", "status", "off")
        self._tmux("set", "-g", "default-terminal", "tmux-256color")

    def run(self, command: str, until: str) -> None:
        """Type a command and wait until it shows ``until``."""
        self._tmux("send-keys", "-R", "C-l", command, "Enter")
        self.wait(until)

    def wait(self, until: str) -> None:
        """Wait until it shows ``until``."""
        deadline = time.monotonic() + 60
        while until not in self._tmux("capture-pane", "-p"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {until!r} in {self._tmux('capture-pane', '-p')}")
            time.sleep(0.1)

    def shoot(self, picture: Path) -> None:
        """What it shows, as a picture."""
        columns, lines = self.size
        console = Console(record=True, width=columns, file=io.StringIO(), color_system="truecolor")
        seen = self._tmux("capture-pane", "-e", "-p").rstrip("\n")
        console.print(Text.from_ansi(seen), no_wrap=True, overflow="ignore", crop=False)
        page = picture.with_suffix(".html")
        page.write_text(console.export_html(theme=MONOKAI, code_format=PAGE))
        height = min(lines, len(seen.splitlines())) * CELL[1] + 24
        shot(page, picture, round(columns * CELL[0]) + 24, height)
        page.unlink()

    def close(self) -> None:
        """End it and all that runs in it."""
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout


def main() -> int:
    """0 where all pictures were taken."""
    if INSIDE not in os.environ:
        return subprocess.run([*APART, sys.executable, __file__], env={**os.environ, INSIDE: "1"}).returncode
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        folder = Path(name)
        commands = folder / "bin"
        commands.mkdir()
        program = commands / "replay-monitor"
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m monitor "$@"\n')
        program.chmod(0o755)
        os.environ["PATH"] = f"{commands}:{os.environ['PATH']}"
        os.chdir(ROOT)
        take_report(folder)
        take_replay()
        take_watch(folder)
    return 0


def take_report(folder: Path) -> None:
    """The top of the report."""
    page = folder / "report.html"
    keys = ("--keys", str(KEYS), "--trust", str(KEYS / "ca.pem"))
    subprocess.run(
        ["replay-monitor", "replay", *keys, "--report", str(page), "pcaps/9-media.pcap"],
        stdout=subprocess.DEVNULL,
    )
    shot(page, IMAGES / "report.png", 1000, 765)


def take_replay() -> None:
    """Rulings on a capture."""
    terminal = Terminal(112, 30)
    terminal.run("replay-monitor replay --keys pcaps/keys pcaps/9-media.pcap", "judged:")
    terminal.shoot(IMAGES / "replay.png")
    terminal.close()


def take_watch(folder: Path) -> None:
    """The live view, while calls and attacks go on."""
    folder.chmod(0o700)
    config = folder / "monitor.toml"
    config.write_text(CONFIGURATION.format(keys=KEYS, folder=folder))
    for command in ("mount -t tmpfs own /run", "ip link set lo up"):
        subprocess.run(command.split(), check=True)
    for host in (1, 2, 3, 4, 10, 66):
        subprocess.run(["ip", "address", "add", f"192.0.2.{host}/32", "dev", "lo"], check=True)
    daemon = subprocess.Popen(["replay-monitor", "run", "--config", str(config)], stderr=subprocess.DEVNULL)
    asks = ["replay-monitor", "status", "--config", str(config)]
    while subprocess.run(asks, capture_output=True).returncode == 2:
        time.sleep(0.2)
    subprocess.run(["replay-monitor", "rules", "apply"], check=True, capture_output=True)
    terminal = Terminal(110, 34)
    terminal.run(f"replay-monitor status --watch --config {config}", "quits")
    for name in ATTACKS:
        send = [sys.executable, "scripts/send_capture.py", "--longest", "0.05", f"pcaps/{name}.pcap"]
        subprocess.run(send, check=True, capture_output=True)
    terminal.wait("reflected")
    terminal.shoot(IMAGES / "watch.png")
    terminal.close()
    daemon.terminate()
    daemon.wait(30)


if __name__ == "__main__":
    raise SystemExit(main())

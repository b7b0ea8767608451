"""The page in Chromium: read as it was written, seen in the light, in the dark and on paper."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from frames import invite, sdp, udp
from pages import PCAPS, Reader, capture, report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)
DARK = "--blink-settings=preferredColorScheme=0"
WIDTH, HEIGHT = 1200, 2400

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]

Pixel = tuple[int, int, int]
PAGE, DARK_PAGE = (0xF4, 0xF5, 0xF7), (0x11, 0x15, 0x1B)
BAD, OK, WARN, TALK = (0xB3, 0x26, 0x1E), (0x1F, 0x7A, 0x45), (0x8A, 0x5A, 0x00), (0x6F, 0x91, 0xC4)
"""Colours of the style sheet."""


def browse(folder: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page with a profile of its own; what the page complains of is an error here."""
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(path, str(PCAPS / "9-media.pcap"))
    return path


def screenshot(folder: Path, page: Path, *options: str) -> Any:
    image = pytest.importorskip("PIL.Image", reason="needs pillow")
    shot = folder / "shot.png"
    browse(folder, page, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", *options)
    picture = image.open(shot).convert("RGB")
    assert picture.size == (WIDTH, HEIGHT)
    return picture


def colours(picture: Any, top: int = 0, bottom: int = HEIGHT) -> Counter[Pixel]:
    counted = picture.crop((0, top, WIDTH, bottom)).getcolors(WIDTH * HEIGHT)
    return Counter({colour: number for number, colour in counted})


def test_a_page_that_breaks_its_policy_is_told(page: Path, tmp_path: Path) -> None:
    """So that silence means something in all other tests."""
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("<style>", "<style>p { color: red }", 1))
    with pytest.raises(AssertionError, match="Content Security Policy"):
        browse(tmp_path, broken, "--dump-dom")


def test_in_the_light(page: Path, tmp_path: Path) -> None:
    picture = screenshot(tmp_path, page)
    assert picture.getpixel((3, 3)) == PAGE
    seen = colours(picture)
    assert (255, 255, 255) in dict(seen.most_common(2))
    for colour, pixels in ((BAD, 2000), (OK, 400), (WARN, 400), (TALK, 1000)):
        assert seen[colour] > pixels, colour
    # No stretch of the page is empty: summary, timeline, overview, ladder, headers.
    for top in range(0, HEIGHT, 200):
        assert len(colours(picture, top, top + 200)) > 20, top


def test_in_the_dark(page: Path, tmp_path: Path) -> None:
    picture = screenshot(tmp_path, page, DARK)
    assert picture.getpixel((3, 3)) == DARK_PAGE
    seen = colours(picture)
    dark = sum(count for colour, count in seen.items() if max(colour) < 0x40)
    assert dark > 0.85 * WIDTH * HEIGHT
    assert (255, 255, 255) not in seen
    assert BAD not in seen


def test_on_paper(page: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.pdf"
    browse(tmp_path, page, f"--print-to-pdf={paper}", "--no-pdf-header-footer", DARK)
    octets = paper.read_bytes()
    assert octets.startswith(b"%PDF")
    pages = max(int(number) for number in re.findall(rb"/Count (\d+)", octets))
    assert 4 <= pages <= 8
    if tool := shutil.which("pdftotext"):
        told = subprocess.run(
            [tool, "-layout", paper, "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "4 messages denied" in told
        assert "denied: envelope-reused" in told
    if tool := shutil.which("pdftoppm"):
        image = pytest.importorskip("PIL.Image", reason="needs pillow")
        shot = tmp_path / "first"
        subprocess.run([tool, "-r", "30", "-f", "1", "-singlefile", "-png", paper, shot], check=True)
        picture = image.open(shot.with_suffix(".png")).convert("RGB")
        assert picture.getpixel((2, 2)) == (255, 255, 255)


HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"><svg onload=document.title='owned'>",
    "</title></style></svg><img src=x onerror=document.title='owned'>",
    "<!--",
    "\u202eright to left",
)


def test_hostile_text_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The browser finds the elements that were written and no other: nothing broke out of its place."""
    headers = "".join(f"X-{number}: {text}\r\n" for number, text in enumerate(HOSTILE))
    message = invite(sdp("A" * 40), call=HOSTILE[0], headers=headers)
    made = capture(
        tmp_path / "own.pcap", udp("192.0.2.5", "192.0.2.1", message), udp("192.0.2.66", "192.0.2.1", message)
    )
    page = tmp_path / "report.html"
    written = Reader(report(page, made))
    found = Reader(browse(tmp_path, page, "--dump-dom").stdout)
    assert found.tags == written.tags
    assert found.attributes == written.attributes
    assert found.text == written.text


@pytest.mark.parametrize("name", ["1-calls.pcap", "6-disguises.pcap"])
def test_other_reports_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    written = Reader(report(page, str(PCAPS / name)))
    found = Reader(browse(tmp_path, page, "--dump-dom").stdout)
    assert (found.tags, found.attributes) == (written.tags, written.attributes)

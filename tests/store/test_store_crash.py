"""What was said to be committed outlasts SIGKILL at any instant."""

import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from monitor.store.sqlite import SqliteStore

KILLS = 25
CHILD = """
import os, sys
from pathlib import Path
from monitor.antireplay.table import Change
from monitor.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), secret_check=b"check")
out = sys.stdout.fileno()
while True:
    keys = [os.urandom(32) for _ in range(1 + os.urandom(1)[0] % 40)]
    assert store.compare_and_swap([Change(key, None, key * 9, 10**18) for key in keys])
    store.commit()
    assert store.compare_and_swap([Change(keys[0], keys[0] * 9, keys[0] * 10, 10**18)])
    if keys[0][0] % 4 == 0:
        store.prune(1, 50)
    os.write(out, b"".join(keys))
"""


def killed_after(path: Path, keys: int) -> list[bytes]:
    """All keys that a child told as committed before it was killed, some time after ``keys`` of them."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = child.stdout.read(32 * keys)
        child.kill()
        told += child.stdout.read()
    assert len(told) >= 32 * keys
    return [told[at : at + 32] for at in range(0, len(told) - 31, 32)]


def test_every_key_told_as_committed_is_there_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    chance = random.Random(20251123)
    told: list[bytes] = []
    for _ in range(KILLS):
        told += killed_after(path, chance.randint(1, 400))
        with closing(SqliteStore(path, secret_check=b"check")) as store:
            records = store.read(told)
            lost = [
                key for key, record in zip(told, records, strict=True) if record not in (key * 9, key * 10)
            ]
            assert not lost, f"{len(lost)} of {len(told)} committed keys are gone"
            listed = sum(len(store.records(prefix=bytes([first]), limit=10**6)) for first in range(256))
            assert store.count() == listed >= len(told)


def test_a_kill_while_the_file_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    chance = random.Random(20251123)
    code = (
        "import sys; from pathlib import Path; from monitor.store.sqlite import SqliteStore;"
        "[SqliteStore(Path(f'{sys.argv[1]}/{n}.db'), secret_check=b'check').close() for n in range(10**6)]"
    )
    for attempt in range(3):
        home = tmp_path / str(attempt)
        home.mkdir()
        with subprocess.Popen([sys.executable, "-c", code, str(home)]) as child:
            last = home / f"{chance.randint(1, 20)}.db"
            while not last.exists():
                assert child.poll() is None
            child.kill()
        made = list(home.glob("*.db"))
        assert made
        for path in made:
            SqliteStore(path, secret_check=b"check").close()

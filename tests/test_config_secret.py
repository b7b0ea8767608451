"""The site secret's file."""

import os
import threading
from pathlib import Path

import pytest

from monitor.config.secret import SecretError, existing_secret, secret_check, site_secret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret"


def test_is_made_once_for_its_owner_alone(path: Path) -> None:
    assert existing_secret(path) is None
    secret = site_secret(path)
    assert len(secret) == 32
    assert len(set(secret)) > 8
    assert path.stat().st_mode & 0o777 == 0o600
    assert site_secret(path) == existing_secret(path) == secret
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_two_that_make_it_at_once_agree(path: Path) -> None:
    found: list[bytes] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait(10)
        found.append(site_secret(path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o777])
def test_refuses_a_file_that_others_can_read_or_change(path: Path, mode: int) -> None:
    site_secret(path)
    path.chmod(mode)
    with pytest.raises(SecretError, match=rf"secret: .* mode 0{mode:o} \(chmod 600 "):
        site_secret(path)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_takes_one_that_its_group_reads(path: Path, mode: int) -> None:
    """As systemd hands over credentials."""
    secret = site_secret(path)
    path.chmod(mode)
    assert site_secret(path) == secret


@pytest.mark.parametrize("length", [0, 31, 5000])
def test_refuses_a_wrong_length(path: Path, length: int) -> None:
    path.touch(0o600)
    path.write_bytes(os.urandom(length))
    with pytest.raises(SecretError, match="octets, must have 32 to 4096"):
        site_secret(path)
    assert path.stat().st_size == length


def test_wants_its_directory(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="cannot be made: No such file or directory"):
        site_secret(tmp_path / "none" / "secret")


def test_a_directory_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="Is a directory"):
        site_secret(tmp_path)


def test_the_check_tells_secrets_apart_and_is_not_the_secret() -> None:
    one, other = bytes(32), bytes(31) + b"\1"
    assert secret_check(one) != secret_check(other)
    assert secret_check(one) == secret_check(one) != one

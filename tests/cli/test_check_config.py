"""``replay-monitor check-config``: all that is wrong, what is doubtful, and what it comes to."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.antireplay.table import Change
from monitor.cli import check_config
from monitor.config import secret_check, site_secret
from monitor.store.sqlite import SqliteStore


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.toml"


class Checks:
    """Writes a configuration, checks it, and gives status and lines without the directory."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file, self._capsys = file, capsys

    def __call__(self, text: str) -> tuple[int, list[str]]:
        self.file.write_text(text)
        status = main(["check-config", str(self.file)])
        output = self._capsys.readouterr()
        assert output.err == ""
        return status, output.out.replace(f"{self.file.parent}/", "").splitlines()


@pytest.fixture
def check(file: Path, capsys: pytest.CaptureFixture[str]) -> Checks:
    return Checks(file, capsys)


def test_a_right_one_is_summed_up(check: Checks, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mobile.toml").write_text(
        '[match]\nsource = "10.0.0.0/8"\nmark = "0x10/0xff"\n[policy]\nmoves = true\n'
    )
    text = f"""
        policies = "policies"
        [policy]
        relays = ["192.0.2.10"]
        exceptions = {{ malformed = "deny" }}
        [store]
        url = "sqlite://{tmp_path}/x.db"
        retention = "30d"
        [secret]
        file = "secret"
    """
    assert check(text) == (
        0,
        [
            "monitor.toml: ok",
            "  queue     0: 16384 packets, further ones are dropped",
            "  store     sqlite://x.db: outlasts the daemon, records kept for 30d",
            "  secret    secret",
            "  keys      none: envelopes are told apart unopened",
            "  evidence  none is kept",
            "  metrics   127.0.0.1:9464",
            (
                "  policy    mobile (source 10.0.0.0/8; mark 0x10/0xff): moves allowed; relays 192.0.2.10;"
                " malformed deny"
            ),
            "  policy    default (all else): relays 192.0.2.10; malformed deny",
        ],
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["monitor.toml", "policies"], (
        "nothing was made"
    )


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ('url = "memory:"\ndurability = "power"', "memory:: forgotten when the daemon ends"),
        ('url = "redis://me:sesame@192.0.2.9/1"', "redis://192.0.2.9/1: outlasts the daemon"),
    ],
)
def test_what_a_store_outlasts(check: Checks, store: str, said: str) -> None:
    status, lines = check(f"[store]\n{store}\n")
    assert status == 0
    assert f"  store     {said}, records kept by certificate" in lines


def test_an_empty_one_is_right(check: Checks) -> None:
    status, lines = check("")
    assert status == 0
    assert lines[0] == "monitor.toml: ok"
    assert lines[-1] == "  policy    default (all): exact sources, the defaults"


def test_all_that_is_wrong_with_its_text(check: Checks) -> None:
    assert check("[policy]\nmoves = 1\nstrictt = 1\n[quue]\n") == (
        2,
        [
            "monitor.toml:2: policy.moves: must be true or false, is 1",
            'monitor.toml:3: policy.strictt: is no key that is known (did you mean "strict"?)',
            'monitor.toml:4: quue: is no key that is known (did you mean "queue"?)',
        ],
    )


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().out == f"{tmp_path}/none.toml: cannot be read: No such file or directory\n"


def test_files_that_are_named_and_missing(check: Checks) -> None:
    status, lines = check("""\
[keys]
directory = "keys"
trust = "trust.pem"
[secret]
file = "none/secret"
[events]
file = "none/events"
[store]
url = "sqlite:///./no/such/x.db"
[templates]
directory = "templates"
""")
    assert status == 2
    assert lines == [
        "monitor.toml:2: keys.directory: keys is no directory",
        "monitor.toml:3: keys.trust: trust.pem does not exist",
        "monitor.toml:5: secret.file: there is no directory none (make it)",
        "monitor.toml:7: events.file: there is no directory none (make it)",
        "monitor.toml:9: store.url: there is no directory no/such (make it)",
        "monitor.toml:11: templates.directory: templates is no directory",
    ]


def test_evidence_has_a_place_and_a_key_of_its_own(check: Checks, file: Path) -> None:
    text = '[evidence]\ndirectory = "log"\nkeep = "signed"\nkey = "evidence.key"\n'
    status, lines = check(text)
    assert status == 0
    assert "  evidence  signed in log" in lines
    key = file.parent / "evidence.key"
    key.write_text("-----BEGIN PRIVATE KEY-----\n")
    key.chmod(0o644)
    assert check(text) == (
        2,
        [
            (
                "monitor.toml:4: evidence.key: evidence.key: others can read or change it, mode 0644"
                " (chmod 600 evidence.key)"
            )
        ],
    )
    key.unlink()
    assert check('[evidence]\ndirectory = "no/such"\nkeep = "some"\n') == (
        2,
        ["monitor.toml:3: evidence.keep: must be 'denials', 'signed' or 'all', is \"some\""],
    )
    assert check('[evidence]\ndirectory = "no/such"\n') == (
        2,
        ["monitor.toml:2: evidence.directory: there is no directory no (make it)"],
    )


def test_private_keys_and_files_that_anyone_can_read_or_change(check: Checks, file: Path) -> None:
    keys = file.parent / "keys"
    keys.mkdir()
    for name, mode in (("open.pem", 0o644), ("closed.pem", 0o640)):
        (keys / name).write_text("-----BEGIN PRIVATE KEY-----\n")
        (keys / name).chmod(mode)
    (keys / "public.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    file.touch()
    file.chmod(0o666)
    status, lines = check('[keys]\ndirectory = "keys"\n')
    assert status == 2
    assert lines == [
        "monitor.toml:1: anyone can write to it (chmod o-w monitor.toml)",
        (
            "monitor.toml:2: keys.directory: keys/open.pem holds a private key that anyone can read or change"
            " (chmod o-rw keys/open.pem)"
        ),
    ]


def test_a_secret_that_anyone_can_read(check: Checks, tmp_path: Path) -> None:
    site_secret(tmp_path / "secret")
    (tmp_path / "secret").chmod(0o644)
    status, lines = check('[secret]\nfile = "secret"\n')
    assert status == 2
    assert lines == [
        "monitor.toml:2: secret.file: secret: others can read or change it, mode 0644 (chmod 600 secret)"
    ]


def made_store(home: Path) -> str:
    check_octets = secret_check(site_secret(home / "secret"))
    with closing(SqliteStore(home / "x.db", secret_check=check_octets)) as store:
        store.compare_and_swap([Change(bytes(32), None, b"r", 5)])
        store.commit()
    return f'[secret]\nfile = "secret"\n[store]\nurl = "sqlite://{home}/x.db"\n'


def test_a_store_is_looked_into_beside_its_writer(check: Checks, tmp_path: Path) -> None:
    text = made_store(tmp_path)
    check_octets = secret_check(site_secret(tmp_path / "secret"))
    with closing(SqliteStore(tmp_path / "x.db", secret_check=check_octets)):
        assert check(text)[0] == 0


def test_a_store_made_under_another_secret(check: Checks, tmp_path: Path) -> None:
    text = made_store(tmp_path)
    (tmp_path / "secret").write_bytes(os.urandom(32))
    status, lines = check(text)
    assert status == 2
    assert lines[0].startswith("monitor.toml:4: store.url: x.db: was made under another site secret")
    (tmp_path / "secret").unlink()
    status, lines = check(text)
    assert status == 2
    assert lines == [
        "monitor.toml:2: secret.file: secret does not exist, though x.db was made with one (put it back)"
    ]


def test_what_is_likely_not_meant_is_a_warning(check: Checks, file: Path) -> None:
    (file.parent / "keys").mkdir()
    (file.parent / "p").mkdir()
    (file.parent / "p" / "1.toml").write_text('[match]\nsource = "10.0.0.0/8"\n')
    (file.parent / "p" / "2.toml").write_text(
        '[match]\nsource = ["10.2.0.0/16", "192.0.2.0/24"]\n[policy]\noriginator = "deny"\n'
    )
    status, lines = check("""\
policies = "p"
[policy]
moves = true
[policy.exceptions]
undecryptable = "deny"
store-unavailable = "accept"
[keys]
directory = "keys"
[store]
url = "memory:"
""")
    assert status == 0
    assert lines[:6] == [
        "monitor.toml:10: store.url: warning: memory: forgets all that was accepted when the daemon ends",
        (
            "monitor.toml:5: policy.exceptions.undecryptable: warning: while keys are held, a verdict must"
            " not show"
            " which envelopes they open"
        ),
        "monitor.toml:6: policy.exceptions.store-unavailable: warning: replays pass while the store is away",
        'p/2.toml:4: policy.originator: warning: originator = "deny" denies what moves = true lets pass',
        "p/2.toml:2: match.source: warning: 10.2.0.0/16 is never reached: 1.toml before it takes it",
        "monitor.toml: ok",
    ]


def test_templates_are_checked(check: Checks, file: Path) -> None:
    pytest.importorskip("monitor.toolbox.registry", exc_type=ImportError)
    (file.parent / "templates").mkdir()
    (file.parent / "templates" / "wrong.toml").write_text('name = "x"\nnonsense = 1\n')
    status, lines = check('[templates]\ndirectory = "templates"\n')
    assert status == 2
    assert all(line.startswith("templates/wrong.toml:") for line in lines)
    assert any("nonsense" in line for line in lines)


def test_without_a_file_at_the_default_place_it_says_what_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_config, "DEFAULT_PATH", tmp_path / "monitor.toml")
    assert main(["check-config"]) == 2
    assert capsys.readouterr().out.startswith(f"{tmp_path}/monitor.toml: is not there (all is as by default")

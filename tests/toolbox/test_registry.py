"""The registry: our tools by name, and one that somebody else installed."""

import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from frames import Tape, invite, sdp, udp

from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.record import ExceptionRecord, RulingRecord
from monitor.shipped import shipped
from monitor.store.memory import MemoryStore
from monitor.toolbox.registry import GROUP, RegistryError, own_tools, registry
from monitor.toolbox.template import TemplateError, load_templates

EXAMPLE = Path(__file__).parent / "example_tool"
BOB, ALICE = "192.0.2.5", "192.0.2.1"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, entries: str = "") -> None:
    """Put the example where Python finds it, with the metadata that an installer would write."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copy(EXAMPLE / "crypto_suites.py", folder)
    metadata = folder / "crypto_suites-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    ((group, tools),) = project["entry-points"].items()
    lines = entries or "\n".join(f"{name} = {place}" for name, place in tools.items())
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "crypto_suites", raising=False)


def test_every_family_is_there() -> None:
    assert own_tools().keys() == {
        "non-repudiation",
        "compression",
        "anti-replay.envelope",
        "anti-replay.master-key",
        "anti-replay.judge",
        "anti-replay.freshness",
        "confidentiality",
        "integrity",
        "pki",
        "authentication",
    }


def test_another_distribution_adds_a_tool_and_a_template_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, templates = tmp_path / "site", tmp_path / "templates"
    site.mkdir()
    install(site, monkeypatch)
    assert registry().tools.keys() - own_tools().keys() == {"crypto-suites"}
    shutil.copytree(shipped("templates"), templates)
    shutil.copy(EXAMPLE / "suites.toml", templates)
    core = assemble(
        store=MemoryStore(), secret=REPLAY_SECRET, policies=PolicyList(Policy()), templates=templates
    )
    tape, allowed = Tape(), b"AES_256_CM_HMAC_SHA1_80"
    weak = sdp("A" * 40)
    strong = sdp("B" * 62).replace(b"AES_CM_128_HMAC_SHA1_80", allowed)
    core.feed(tape.frame(udp(BOB, ALICE, invite(weak))))
    core.feed(tape.frame(udp(BOB, ALICE, invite(strong, call="call-2"))))
    refused, accepted = (settled.records[0] for settled in core.settle())
    assert isinstance(refused, ExceptionRecord)
    assert (refused.exception, refused.outcome, refused.detail) == (
        *("refused", "deny"),
        "the suite AES_CM_128_HMAC_SHA1_80 is not allowed",
    )
    assert isinstance(accepted, RulingRecord)
    assert (str(accepted.reason), accepted.template) == ("first-use", "suites")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("allowed = []", "template suites: step crypto-suites: allowed must name a suite"),
        ('allowed = "AES"', r"suites.toml:\d+: step\[0\].allowed: must be of type list"),
        ('forbidden = ["AES"]', r"suites.toml:\d+: step\[0\].forbidden: is no parameter of crypto-suites"),
    ],
)
def test_its_parameters_are_checked_as_ours_are(
    line: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, templates = tmp_path / "site", tmp_path / "templates"
    site.mkdir()
    templates.mkdir()
    install(site, monkeypatch)
    text = (EXAMPLE / "suites.toml").read_text()
    given = next(each for each in text.splitlines() if each.startswith("allowed"))
    (templates / "suites.toml").write_text(text.replace(given, line))
    with pytest.raises(TemplateError, match=problem):
        assemble(
            store=MemoryStore(), secret=REPLAY_SECRET, policies=PolicyList(Policy()), templates=templates
        )


def test_without_it_the_template_is_refused(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "suites.toml", tmp_path)
    with pytest.raises(TemplateError, match="'crypto-suites' is none of"):
        load_templates(tmp_path, registry())


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("mine = no_such_module:Tool", "mine .* cannot be loaded: No module named"),
        ("mine = crypto_suites:Missing", "mine .* cannot be loaded"),
        ("mine = crypto_suites:SUITE", "mine .* lacks takes"),
        ("pki = crypto_suites:CryptoSuites", "pki .*: the name is in use"),
    ],
)
def test_what_is_no_tool_is_named(
    entry: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, entry)
    with pytest.raises(RegistryError, match=problem):
        registry()


def test_the_example_is_the_one_of_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "toolbox.md").read_text()
    for name in ("crypto_suites.py", "suites.toml", "pyproject.toml"):
        assert (EXAMPLE / name).read_text() in text, name
    assert GROUP in text

"""Templates: those that come with the project, and everything that can be wrong with one."""

from pathlib import Path

import pytest

from monitor.shipped import shipped
from monitor.toolbox.layer import Kind, Service
from monitor.toolbox.registry import registry
from monitor.toolbox.template import TemplateError, load_templates

GOOD = """
name = "mine"
[[step]]
tool = "anti-replay.master-key"
[[step]]
tool = "anti-replay.judge"
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is said of a template, without the directory's name."""
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(TemplateError) as caught:
        load_templates(tmp_path, registry())
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_the_shipped_sets_load_in_their_order() -> None:
    tools = registry()
    assert [each.name for each in load_templates(shipped("templates"), tools)] == ["sdes", "smime-sdes"]
    (strict,) = load_templates(shipped("templates", "strict"), tools)
    assert strict.required == {
        Service.CONFIDENTIALITY,
        Service.INTEGRITY,
        Service.PKI,
        Service.AUTHENTICATION,
    }
    (observe,) = load_templates(shipped("templates", "observe"), tools)
    assert not observe.enforce


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = 'x'", "mine.toml:1: step: must be given at least once"),
        (GOOD + "[[step]]\ntool = 'anti-reply'\n", "mine.toml:8: step[2].tool: 'anti-reply' is none of"),
        (GOOD + "[[step]]\ntool = 'pki'\n", "mine.toml:8: step[2].tool: pki needs integrity"),
        (GOOD + "[[step]]\ntool = 'anti-replay.judge'\n", "anti-replay.judge is there twice"),
        (GOOD + "[[step]]\ntool = 'authentication'\ndomain = 1\n", "step[2].domain: must be of type bool"),
        (
            GOOD + "[[step]]\ntool = 'compression'\nlevel = 1\n",
            "step[2].level: is no parameter of compression",
        ),
        (
            GOOD + "[[step]]\ntool = 'non-repudiation'\nkeep = 'some'\n",
            "mine.toml:9: step[2].keep: 'some' is none of denials, signed, all",
        ),
        (GOOD + "[services]\nintegrity = 'required'\n", "services.integrity: is required, and no step"),
        (GOOD + "[services]\nintegrity = 'maybe'\n", "services.integrity: 'maybe' is none of"),
        (
            GOOD + "[[step]]\ntool = 'integrity'\n[services]\nintegrity = 'ignored'\n",
            "services.integrity: is ignored, and a step provides it",
        ),
        (GOOD + "[match]\nlayers = []\n", "match.layers: must be a list of texts with at least one"),
        (GOOD + "[match]\nlayers = ['sdp']\n", "mine.toml:8: match.layers: 'sdp' is none of"),
        (GOOD + "[match]\nstatuses = ['700']\n", "match.statuses: '700' is neither"),
        (GOOD + "[match]\ndirection = 'request'\nstatuses = ['2xx']\n", "match.statuses: requests have none"),
        (GOOD + "[match]\nsources = ['192.0.2.1/24']\n", "match.sources: 192.0.2.1/24 has host bits set"),
        (GOOD + "[match]\nmethod = ['INVITE']\n", "mine.toml:8: match.method: is no key here"),
        ("name = 'x'\norder = 'first'\n" + GOOD[15:], "mine.toml:2: order: must be a whole number"),
        ("name = 'x'\n[[step]]\ntool = 'compression'\n", "no step rules on the message"),
        (GOOD.replace("mine", ""), "mine.toml:2: name: must be a text that is not empty"),
        ("name = ", "mine.toml: cannot be read: Invalid value (at end of document)"),
        (
            GOOD + "[[step]]\ntool = 'pki'\non_failure = {bad-signatur = 'deny'}\n",
            "step[2].on_failure: 'bad-signatur' is none of",
        ),
    ],
)
def test_what_can_be_wrong(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in each for each in problems(tmp_path, text)), problems(tmp_path, text)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD + "[match]\nlayers = []\nmethod = 1\n[services]\npki = 'required'\n")
    assert len(found) == 3


def test_two_templates_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    assert any("has it too" in each for each in problems(tmp_path, GOOD))


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no template there"):
        load_templates(tmp_path, registry())


def test_every_layer_is_taken_by_the_default_templates() -> None:
    tools = registry().tools
    smime = load_templates(shipped("templates"), registry())[1]
    taken = {kind for step in smime.steps for kind in tools[step.tool].takes}
    assert taken == set(Kind)

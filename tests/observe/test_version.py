"""Versions of templates and policies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from monitor.antireplay.policy import Policy
from monitor.config.load import load
from monitor.observe.version import version_of
from monitor.shipped import shipped
from monitor.toolbox.registry import registry
from monitor.toolbox.template import load_templates


def version_in(folder: Path, text: str) -> str:
    """The version of the policy list that a configuration makes."""
    (folder / "monitor.toml").write_text(text)
    return version_of(load(folder / "monitor.toml").policies)


def test_equal_where_they_say_the_same(tmp_path: Path) -> None:
    one = version_in(tmp_path, '[policy]\nrelays = ["192.0.2.1", "192.0.2.2"]\nmoves = true\n')
    other = version_in(tmp_path, '[policy]\nmoves = true # at last\nrelays = ["192.0.2.2", "192.0.2.1"]\n')
    assert one == other
    assert one != version_in(tmp_path, '[policy]\nmoves = true\nrelays = ["192.0.2.2"]\n')


def test_every_field_of_a_policy_counts() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"name": "x"},
        {"relays": frozenset((b"abcd",))},
        {"strict": True},
        {"prefix_ipv6": 64},
        {"outcomes": {}},
    )
    versions = {version_of(replace(Policy(), **change)) for change in changes}
    assert len(versions | {version_of(Policy())}) == len(changes) + 1


def test_networks_count_as_such_however_large(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.toml").write_text('[match]\nsource = ["10.0.0.0/8"]\n')
    one = version_in(tmp_path, 'policies = "policies"\n')
    (tmp_path / "policies" / "a.toml").write_text('[match]\nsource = ["10.0.0.0/9"]\n')
    assert one != version_in(tmp_path, 'policies = "policies"\n')


def test_templates_that_come_with_us_differ_from_each_other() -> None:
    templates = load_templates(shipped("templates"), registry())
    assert len({version_of(template) for template in templates}) == len(templates) > 1
    assert all(len(version_of(template)) == 12 for template in templates)

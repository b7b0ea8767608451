"""What docs/monitoring.md tells to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "monitoring.md").read_text()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (package prometheus)")
def test_the_configuration_shown_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copytree(ROOT / "rules" / "prometheus", tmp_path / "rules")
    done = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_files_that_are_to_be_installed_are_there() -> None:
    commands = re.findall(r"^sudo install .*$", GUIDE, re.MULTILINE)
    sources = re.findall(r"(?<= )(?:rules|grafana|systemd)/\S+", "\n".join(commands))
    assert len(sources) == 5
    assert all(list(ROOT.glob(source)) for source in sources)


def test_what_makes_a_link_of_the_runbooks_paths_finds_them() -> None:
    (expression,) = re.findall(r"sed -i 's\|(.*?)\|", GUIDE)
    rules = (ROOT / "rules" / "prometheus" / "replay-monitor.yml").read_text()
    assert rules.count(expression) == rules.count("- alert: ")

"""The committed dashboards: what the code makes, what the SDK knows, what the daemon has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, RowPanel
from grafana_foundation_sdk.models.prometheus import Dataquery

from grafana.__main__ import DASHBOARDS, DIRECTORY, text
from monitor.observe.exposition import FAMILIES

register_default_plugins()
NAMES = {family.name for family in FAMILIES}
HISTOGRAMS = {family.name for family in FAMILIES if family.kind == "histogram"}


def document(name: str) -> dict[str, Any]:
    """A committed dashboard."""
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def panels(name: str) -> Iterator[Panel]:
    """Its panels, without the rows' headings."""
    for panel in Dashboard.from_json(document(name)).panels or ():
        if not isinstance(panel, RowPanel):
            yield panel


def test_each_has_its_code() -> None:
    assert {path.stem for path in DIRECTORY.iterdir()} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_is_committed_is_what_the_code_makes(name: str) -> None:
    assert (DIRECTORY / f"{name}.json").read_text() == text(DASHBOARDS[name]())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_sdk_knows_all_that_is_in_it(name: str) -> None:
    parsed = Dashboard.from_json(document(name))
    assert json.loads(json.dumps(parsed, cls=JSONEncoder)) == document(name)
    for panel in panels(name):
        for target in panel.targets or ():
            assert isinstance(target, Dataquery)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows_and_overlaps_no_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        assert panel.title
        assert panel.description or panel.type_val == "text"
        place = panel.grid_pos
        assert place is not None
        cells = {(place.x + x, place.y + y) for x in range(place.w) for y in range(place.h)}
        assert place.x + place.w <= 24
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_asks_for_metrics_that_there_are_by_the_chosen_data_source(name: str) -> None:
    for panel in panels(name):
        if panel.type_val != "text":
            assert panel.datasource is not None
            assert panel.datasource.uid == "${datasource}"
        for target in panel.targets or ():
            assert isinstance(target, Dataquery)
            for metric in re.findall(r"replay_monitor_\w+", target.expr):
                base = re.sub(r"_(bucket|sum|count)$", "", metric)
                assert metric in NAMES or base in HISTOGRAMS, metric


def test_files_of_provisioning_lie_where_grafana_looks_for_them() -> None:
    provisioning = Path(DIRECTORY).parent / "provisioning"
    for kind in ("datasources", "dashboards"):
        (file,) = (provisioning / kind).iterdir()
        assert file.suffix == ".yaml"
        assert "apiVersion: 1" in file.read_text()

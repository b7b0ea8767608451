"""Writes ``grafana/dashboards/*.json``."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import incident, overview, performance

DIRECTORY = Path(__file__).parent / "dashboards"
DASHBOARDS = {
    "overview": overview.dashboard,
    "incident": incident.dashboard,
    "performance": performance.dashboard,
}
"""By file name, what makes it."""


def text(dashboard: Dashboard) -> str:
    """The dashboard's file; its panels get numbers, by which links name them."""
    for number, panel in enumerate(dashboard.panels or (), start=1):
        panel.id_val = number
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write them all."""
    for name, make in DASHBOARDS.items():
        (DIRECTORY / f"{name}.json").write_text(text(make()))


if __name__ == "__main__":
    main()

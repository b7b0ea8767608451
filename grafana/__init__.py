"""The Grafana dashboards as code, from the typed SDK. ``python -m grafana`` writes them as JSON."""

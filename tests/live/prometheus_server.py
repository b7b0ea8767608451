"""A real Prometheus on a host, in a hurry: it scrapes and evaluates twice a second, over short windows."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from daemon import METRICS_PORT, ROOT
from namespaces import Host, wait_until

PORT = 9090
RULES = ROOT / "rules" / "prometheus" / "replay-monitor.yml"
WINDOWS = {"5m": "6s", "15m": "60s", "30m": "5s", "1h": "15s"}
"""Windows of the rules, and what they are here."""

missing = next((name for name in ("prometheus", "promtool") if shutil.which(name) is None), None)


def hurried(rules: str) -> str:
    """The rules with short windows; what must last a while lasts two seconds."""
    rules = re.sub(r"\[(\w+)\]", lambda match: f"[{WINDOWS[match[1]]}]", rules)
    rules = re.sub(r"offset (\w+)", lambda match: f"offset {WINDOWS[match[1]]}", rules)
    return re.sub(r"^( +for:) .*$", r"\1 2s", rules, flags=re.MULTILINE)


class Prometheus:
    """One server, that scrapes the daemon on the same host; stopped with the host."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        folder.mkdir()
        (folder / "rules.yml").write_text(hurried(RULES.read_text()))
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
            "rule_files: [rules.yml]\n"
            "scrape_configs:\n"
            "  - job_name: replay-monitor\n"
            f"    static_configs: [{{targets: ['127.0.0.1:{METRICS_PORT}']}}]\n"
        )
        log = (folder / "log.txt").open("w")
        self.process: subprocess.Popen[bytes] = host.start(
            *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
            *(f"--web.listen-address=127.0.0.1:{PORT}", "--enable-feature=exemplar-storage"),
            stdout=log,
            stderr=log,
        )
        log.close()
        wait_until(self._ready, "Prometheus", 30, self.process)

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        with (
            self._host.entered(),
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/v1/{path}?{query}", timeout=10) as answer,
        ):
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """What an expression is now, for each series."""
        result = self.get("query", query=expression)["result"]
        return [float(each["value"][1]) for each in result]

    def firing(self) -> set[str]:
        """The names of the alerts that fire, without what all names begin with."""
        firing = [alert for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]
        for alert in firing:
            assert not re.search("error expanding|no value|<nil>", " ".join(alert["annotations"].values())), (
                alert
            )
        return {alert["labels"]["alertname"].removeprefix("ReplayMonitor") for alert in firing}

    def fired(self, window: str) -> set[str]:
        """The names of the alerts that fired within a window of time, as ``firing``."""
        result = self.get("query", query=f'max_over_time(ALERTS{{alertstate="firing"}}[{window}])')["result"]
        return {each["metric"]["alertname"].removeprefix("ReplayMonitor") for each in result}

    def _ready(self) -> bool:
        try:
            with (
                self._host.entered(),
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/-/ready", timeout=5) as answer,
            ):
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

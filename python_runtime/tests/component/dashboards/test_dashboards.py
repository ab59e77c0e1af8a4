"""The committed dashboards: as the script builds them, each query answered by a real VictoriaMetrics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.twinexporter.conftest import VictoriaMetrics

from edgelab.twinexporter.influx import line
from edgelab.twinexporter.samples import Sample

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS = sorted((ROOT / "src" / "edgelab" / "data" / "dashboards").glob("*.json"))
DEVICES = {"edge1-cpu": "edge1", "edge2-cpu": "edge2"}
PROPERTIES = ("temperature", "humidity")
CLOUDCORE = 'job="cloudcore",instance="127.0.0.1:9091"'
SCRAPED = {
    'edgelab_device_state{namespace="default",device="edge1-cpu",node="edge1",state="online"}': (1, 0),
    f"up{{{CLOUDCORE}}}": (1, 0),
    f'edgelab_cloudhub_node_connected{{{CLOUDCORE},node="edge1"}}': (1, 0),
    f'edgelab_cloudhub_node_connected{{{CLOUDCORE},node="edge2"}}': (0, 0),
    f"edgelab_cloudhub_queued_messages{{{CLOUDCORE}}}": (0, 0),
    f"edgelab_cloudhub_received_total{{{CLOUDCORE}}}": (1000, -1),
    f"edgelab_cloudhub_sent_total{{{CLOUDCORE}}}": (1000, -1),
    f"process_resident_memory_bytes{{{CLOUDCORE}}}": (6e7, 0),
    f"process_cpu_seconds_total{{{CLOUDCORE}}}": (100, -0.01),
}
"""Series that role timeseries has VictoriaMetrics scrape: a value, and how it grows with age."""
VARIABLES = {
    "$namespace": ".*",
    "$node": "edge1|edge2",
    "$device": ".*",
    "$__range": "15m",
    "$__interval": "15s",
}


def panels() -> list[Any]:
    return [
        pytest.param(path.stem, panel, target, id=f"{path.stem}/{panel['title']}/{number}")
        for path in DASHBOARDS
        for number, panel in enumerate(json.loads(path.read_text())["panels"])
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    """Two devices that reported two properties every two seconds for two minutes, until now."""
    database = VictoriaMetrics(tmp_path_factory.mktemp("vm"))
    database.start()
    now = int(time.time())
    lines = [
        line(Sample(("default", device), node, name, "", (now - second) * 1000, 40.0 + second % 7 + number))
        for number, (device, node) in enumerate(DEVICES.items())
        for name in PROPERTIES
        for second in range(0, 120, 2)
    ]
    lines.append(line(Sample(("default", "silent"), "edge2", "temperature", "", (now - 3000) * 1000, 20.0)))
    body = "\n".join(lines).encode()
    urllib.request.urlopen(f"{database.url}/write", data=body, timeout=5).close()
    scraped = "\n".join(
        f"{series} {value + second * rising} {(now - second) * 1000}"
        for series, (value, rising) in SCRAPED.items()
        for second in range(0, 120, 5)
    ).encode()
    urllib.request.urlopen(f"{database.url}/api/v1/import/prometheus", data=scraped, timeout=5).close()
    yield database
    database.stop()


def test_the_committed_files_are_what_the_script_builds() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "build_dashboards.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("dashboard", "panel", "target"), panels())
def test_every_panel_finds_data(
    filled: VictoriaMetrics, dashboard: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    expression = target["expr"]
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    now = time.time()
    window = {} if target.get("instant") else {"start": str(now - 60), "end": str(now), "step": "5s"}
    series = filled.query(expression, **window)
    values = [value for one in series for value in one.get("values", [one.get("value")])]
    assert values, expression
    assert all(float(value) == float(value) for _, value in values), "not a number"


def test_a_choice_at_the_top_narrows_what_is_shown(filled: VictoriaMetrics) -> None:
    dashboard = json.loads((ROOT / "src/edgelab/data/dashboards/cpu-temperature.json").read_text())
    curve = next(panel for panel in dashboard["panels"] if panel["title"] == "Temperature")
    expression = curve["targets"][0]["expr"].replace("$namespace", ".*").replace("$node", "edge2")
    found = filled.query(expression.replace("$device", ".*"))
    assert [one["metric"]["device"] for one in found] == ["edge2-cpu"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_choice_offers_something(filled: VictoriaMetrics, path: Path) -> None:
    for variable in json.loads(path.read_text())["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert match
        answer = filled.get(f"/api/v1/label/{match[2]}/values", **{"match[]": match[1]})
        assert json.loads(answer)["data"], variable["name"]
        assert f"${variable['name']}" in path.read_text()


def test_alerts_fire_for_a_node_that_is_away_and_a_device_that_is_silent(filled: VictoriaMetrics) -> None:
    """The rules that role grafana provisions; a series that an expression gives fires beyond its limit."""
    text = (ROOT.parent / "roles" / "grafana" / "vars" / "main.yml").read_text()
    rules = yaml.safe_load(text)["_grafana_alert_rules"]
    found = {rule["uid"]: filled.query(rule["expr"]) for rule in rules}
    away = {one["metric"]["node"]: float(one["value"][1]) < 1 for one in found["edgelab-node-away"]}
    assert away == {"edge1": False, "edge2": True}
    ages = {one["metric"]["device"]: float(one["value"][1]) for one in found["edgelab-device-silent"]}
    assert ages.keys() == {*DEVICES, "silent"}
    assert all((age > 300) == (device == "silent") for device, age in ages.items())


def test_all_dashboards_ask_the_data_source_that_the_role_provisions() -> None:
    template = ROOT.parent / "roles" / "grafana" / "templates" / "datasource.yaml.j2"
    uid = re.search(r"uid: (\S+)", template.read_text())
    assert uid
    for path in DASHBOARDS:
        uids = set(re.findall(r'"uid": "([^"]+)"', path.read_text()))
        assert uids == {uid[1], json.loads(path.read_text())["uid"]}

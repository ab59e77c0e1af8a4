"""Role grafana with a package that stands in for Grafana's, and on a host whose package sources have none."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import testinfra
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
INVENTORY = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)
DASHBOARDS = "/var/lib/edgelab/dashboards"
PROVISIONING = "/etc/grafana/provisioning"
PROVISIONED = (
    "/etc/grafana/grafana.ini",
    f"{PROVISIONING}/datasources/edgelab.yaml",
    f"{PROVISIONING}/dashboards/edgelab.yaml",
    f"{PROVISIONING}/alerting/edgelab.yaml",
)


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("grafana-server")
    assert service.is_running
    assert service.is_enabled


def test_it_answers_where_the_inventory_says_and_could_read_its_provisioning(host: Host) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    health = json.loads(host.check_output(f"curl -sS --fail http://{address}:3300/api/health"))
    assert health["database"] == "ok"
    assert health["read"] == ["edgelab.yaml", "edgelab.yaml", "edgelab.yaml"]


@pytest.mark.parametrize("path", PROVISIONED)
def test_only_root_writes_what_only_grafana_reads(host: Host, path: str) -> None:
    file = host.file(path)
    assert (file.user, file.group, file.mode) == ("root", "grafana", 0o640)


def test_settings_and_data_source_are_those_of_the_inventory(host: Host) -> None:
    settings = configparser.ConfigParser()
    settings.read_string(host.file("/etc/grafana/grafana.ini").content_string)
    assert settings["auth.anonymous"]["org_role"] == "Viewer"
    assert settings["analytics"]["reporting_enabled"] == "false"
    [source] = yaml.safe_load(host.file(PROVISIONED[1]).content_string)["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://127.0.0.1:8428")


def test_every_dashboard_asks_the_data_source_that_is_provisioned(host: Host) -> None:
    [provider] = yaml.safe_load(host.file(PROVISIONED[2]).content_string)["providers"]
    assert provider["options"]["path"] == DASHBOARDS
    [source] = yaml.safe_load(host.file(PROVISIONED[1]).content_string)["datasources"]
    names = host.file(DASHBOARDS).listdir()
    assert names
    for name in names:
        text = host.file(f"{DASHBOARDS}/{name}").content_string
        assert json.loads(text)["title"]
        assert source["uid"] in text


def test_alerts_ask_the_data_source_that_is_provisioned(host: Host) -> None:
    [source] = yaml.safe_load(host.file(PROVISIONED[1]).content_string)["datasources"]
    alerting = yaml.safe_load(host.file(PROVISIONED[3]).content_string)
    [group] = alerting["groups"]
    for rule in group["rules"]:
        asked, condition = rule["data"]
        assert asked["datasourceUid"] == source["uid"]
        assert condition["refId"] == rule["condition"]
        assert condition["model"]["expression"] == asked["refId"]
    assert [rule["title"] for rule in group["rules"]] == ["Edge node is away", "Device is silent"]
    assert "{{ $$labels.node }}" in group["rules"][0]["annotations"]["summary"]
    [receiver] = alerting["contactPoints"][0]["receivers"]
    assert receiver["settings"]["url"] == "http://127.0.0.1:9/hook?key=a$$b"
    assert alerting["policies"][0]["receiver"] == alerting["contactPoints"][0]["name"]


def test_a_host_whose_sources_have_no_grafana_goes_without_and_is_told_so() -> None:
    edge = testinfra.get_host("ansible://edge1", ansible_inventory=INVENTORY)
    assert not edge.package("grafana").is_installed
    assert not edge.file(DASHBOARDS).exists
    assert not edge.file("/etc/grafana").exists
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", INVENTORY, str(CONVERGE)]
    done = subprocess.run(
        [*command, "--limit", "edge1"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert "Grafana is left out: no package source of this host has it." in " ".join(done.stdout.split())

"""The router's port: open, and exposed by the Deployment, only where the router is enabled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "roles"
RESULTS = {
    "__cloudcore_deployment_config": {"stdout": "{}"},
    "__cloudcore_image": {"reference": "edgelab.local/cloudcore:1"},
    "cloudcore_deployment_hosts": ["plain"],
    "edgelab_node_ip": "192.0.2.7",
}
"""What tasks before have found, and the inventory says."""


def router(**settings: Any) -> dict[str, Any]:
    return {"modules": {"router": {"enable": True, **settings}}}


DEPLOYMENT = {"cloudcore_mode": "deployment"}
HOSTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "off": {"cloudcore_settings": {"modules": {"router": {"enable": False, "port": 9444}}}},
    "on": {"cloudcore_settings": router()},
    "moved": {"cloudcore_settings": router(port=9555, address="10.0.0.5")},
    "loopback": {"cloudcore_settings": router(address="127.0.0.1")},
    "plain_pod": DEPLOYMENT,
    "pod": {**DEPLOYMENT, "cloudcore_settings": router(port=9555)},
    "node_port": {
        **DEPLOYMENT,
        "cloudcore_deployment_ports": "nodePort",
        "cloudcore_settings": {**router(), "edgelab": {"router": {"spoolDirectory": "/kept"}}},
    },
}
WANTED = {
    "rules": "{{ _host_firewall_rules }}",
    "port": "{{ _doctor_router_port | int }}",
    "settings": "{{ _cloudcore_deployment_settings }}",
    "objects": "{{ lookup('ansible.builtin.template', 'deployment.yaml.j2') | from_yaml_all | list }}",
}
PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "connection": "local",
    "tasks": [
        {"ansible.builtin.include_vars": {"file": str(ROLES / role / "vars" / "main.yml")}}
        for role in ("host", "cloudcore", "doctor")
    ]
    + [
        {
            "ansible.builtin.copy": {
                "content": "{{ wanted | to_json }}",
                "dest": "{{ found }}/{{ inventory_hostname }}.json",
                "mode": "0600",
            }
        }
    ],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What both roles make of each host's variables."""
    directory = tmp_path_factory.mktemp("ports")
    defaults = {}
    for role in ("host", "cloudcore"):
        defaults.update(yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8")))
    shared = {
        **defaults,
        **RESULTS,
        "found": str(directory),
        "wanted": WANTED,
        "ansible_python_interpreter": sys.executable,
    }
    (directory / "templates").symlink_to(ROLES / "cloudcore" / "templates")
    groups = {"cloud": {"hosts": HOSTS}, "edge": {"hosts": {}}}
    inventory, play = directory / "hosts.yml", directory / "play.yml"
    inventory.write_text(yaml.safe_dump({"all": {"vars": shared, "children": groups}}), encoding="utf-8")
    play.write_text(yaml.safe_dump([PLAY]), encoding="utf-8")
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, play]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {name: json.loads((directory / f"{name}.json").read_text(encoding="utf-8")) for name in HOSTS}


@pytest.mark.parametrize(
    ("host", "ports"),
    [
        ("plain", ["10000-10004"]),
        ("off", ["10000-10004"]),
        ("on", ["10000-10004", "9443"]),
        ("moved", ["10000-10004", "9555"]),
        ("loopback", ["10000-10004"]),
        ("plain_pod", ["10000-10004", "30000-30004"]),
        ("pod", ["10000-10004", "9555", "30000-30004", "30943"]),
    ],
)
def test_the_firewall_lets_rest_in_where_there_is_a_router(
    found: dict[str, Any], host: str, ports: list[str]
) -> None:
    assert found[host]["rules"] == [{"ports": port, "protocol": "tcp"} for port in ports]
    examined = [port for port in ports if port in ("9443", "9555")]
    assert [str(port) for port in (found[host]["port"],) if port] == examined, "by the doctor"


def one(found: dict[str, Any], host: str, kind: str) -> dict[str, Any]:
    [spec] = [obj["spec"] for obj in found[host]["objects"] if obj["kind"] == kind and "spec" in obj]
    return dict(spec)


def test_a_deployment_without_a_router_has_nothing_of_it(found: dict[str, Any]) -> None:
    assert [port["name"] for port in one(found, "plain_pod", "Service")["ports"]][-1] == "tunnelport"
    assert "router" not in json.dumps(one(found, "plain_pod", "Deployment"))
    assert found["plain_pod"]["settings"]["edgelab"]["router"] == {}


def test_a_pod_with_a_router_has_its_port_of_the_host_and_a_place_for_what_it_keeps(
    found: dict[str, Any],
) -> None:
    pod = one(found, "pod", "Deployment")["template"]["spec"]
    [container] = pod["containers"]
    wanted = {"name": "router", "containerPort": 9555, "protocol": "TCP", "hostPort": 30943}
    assert container["ports"][-1] == wanted
    assert {"name": "router", "mountPath": "/var/lib/kubeedge/router"} in container["volumeMounts"]
    assert {"name": "router", "emptyDir": {}} in pod["volumes"]
    assert found["pod"]["settings"]["edgelab"]["router"] == {"advertiseAddress": "192.0.2.7:30943"}


def test_node_ports_lead_to_the_router_and_pods_reach_each_other(found: dict[str, Any]) -> None:
    port = one(found, "node_port", "Service")["ports"][-1]
    assert port == {"name": "router", "port": 9443, "targetPort": 9443, "protocol": "TCP", "nodePort": 30943}
    [container] = one(found, "node_port", "Deployment")["template"]["spec"]["containers"]
    assert container["ports"][-1] == {"name": "router", "containerPort": 9443, "protocol": "TCP"}
    assert {"name": "router", "mountPath": "/kept"} in container["volumeMounts"]
    assert found["node_port"]["settings"]["edgelab"]["router"] == {}

"""What `edgelab_mesh` asks of CloudCore as a Deployment, and where the mesh's agents look for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.module_harness import CHECKOUT

ROLES = CHECKOUT / "roles"
CONFIG = "edgelab.kubeedge.edge_config"
CLOUD = {"edgelab_node_ip": "192.0.2.10"}
WORKER = {"edgelab_node_ip": "192.0.2.11"}


def answers(directory: Path, role: str, wanted: dict[str, str], variables: dict[str, Any]) -> dict[str, Any]:
    """What templates of a role become on host `edge1`, by Ansible itself."""
    (directory / "templates").symlink_to(ROLES / role / "templates")
    (directory / "given.yml").write_text(json.dumps(variables), encoding="utf-8")
    files = [str(ROLES / role / part / "main.yml") for part in ("defaults", "vars")] + ["given.yml"]
    task = {
        "ansible.builtin.copy": {"content": "{{ wanted | to_json }}", "dest": str(directory / "out.json")}
    }
    play = {
        "hosts": "edge1",
        "connection": "local",
        "gather_facts": False,
        "vars_files": files,
        "vars": {"role_path": str(ROLES / role), "wanted": wanted},
        "tasks": [task],
    }
    hosts = {
        "cloud": {"hosts": {"cloud": CLOUD}},
        "workers": {"hosts": {"worker1": WORKER}},
        "edge": {
            "hosts": {
                "edge1": {"edgelab_node_ip": "192.0.2.20", "ansible_python_interpreter": sys.executable}
            }
        },
    }
    (directory / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    (directory / "hosts.yml").write_text(json.dumps({"all": {"children": hosts}}), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((directory / "out.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=["hostPort", "nodePort"])
def deployed(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Ports' kind, CloudCore's settings, and the manifests."""
    tasks = yaml.safe_load((ROLES / "cloudcore" / "tasks" / "deployment.yml").read_text(encoding="utf-8"))
    wanted = {
        "settings": next(task[CONFIG]["settings"] for task in tasks if CONFIG in task),
        "manifests": "{{ lookup('ansible.builtin.template', 'deployment.yaml.j2') }}",
    }
    given = {
        "edgelab_mesh": True,
        "cloudcore_mode": "deployment",
        "cloudcore_deployment_ports": request.param,
        "__cloudcore_deployment_config": {"stdout": "kind: CloudCore"},
        "__cloudcore_image": {"reference": "edgelab.local/cloudcore:1"},
    }
    found = answers(tmp_path, "cloudcore", wanted, given)
    return request.param, found["settings"], list(yaml.safe_load_all(found["manifests"]))


def test_a_deployment_feeds_metaservers_and_serves_the_tunnel(
    deployed: tuple[str, dict[str, Any], list[dict[str, Any]]],
) -> None:
    _, settings, manifests = deployed
    modules = settings["modules"]
    assert modules["dynamicController"] == {"enable": True}
    assert (modules["cloudStream"]["enable"], modules["cloudStream"]["tunnelPort"]) == (True, 10004)
    [rules] = [one["rules"] for one in manifests if one["kind"] == "ClusterRole"]
    for group, kind in (("", "services"), ("", "nodes"), ("discovery.k8s.io", "endpointslices")):
        granting = [rule for rule in rules if group in rule["apiGroups"] and kind in rule["resources"]]
        verbs = {verb for rule in granting for verb in rule["verbs"]}
        assert {"get", "list", "watch"} <= verbs, kind


def test_its_tunnel_port_is_where_agents_look(
    deployed: tuple[str, dict[str, Any], list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind, _, manifests = deployed
    objects = {one["kind"]: one for one in manifests if one["metadata"]["name"] == "cloudcore"}
    [service] = [p for p in objects["Service"]["spec"]["ports"] if p["name"] == "tunnelport"]
    [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    [port] = [p for p in container["ports"] if p["name"] == "tunnelport"]
    assert (service["targetPort"], port["containerPort"]) == (10004, 10004)
    outside = port["hostPort"] if kind == "hostPort" else service["nodePort"]
    mode = {"cloudcore_mode": "deployment", "edgelab_cloud_address": "192.0.2.11"}
    assert server(tmp_path_factory.mktemp("agent"), mode) == f"192.0.2.11:{outside}"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "192.0.2.10:10004"),
        ({"edgelab_cloud_address": "cloud.example"}, "cloud.example:10004"),
        ({"edgecore_cloud_address": "2001:db8::1", "edgecore_tunnel_port": 443}, "[2001:db8::1]:443"),
    ],
)
def test_an_agent_looks_where_edgecore_does(tmp_path: Path, given: dict[str, Any], place: str) -> None:
    assert server(tmp_path, given) == place


def server(directory: Path, given: dict[str, Any]) -> str:
    wanted = {"server": "{{ _edgemesh_wanted.edgelab.tunnel.server }}"}
    return str(answers(directory, "edgemesh", wanted, given)["server"])

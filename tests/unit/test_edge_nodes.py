"""The inventory plugin edge_nodes against a real API server: which nodes become hosts, and clear errors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
EDGE = {"node-role.kubernetes.io/edge": ""}
NODES: dict[str, dict[str, Any]] = {
    "edge1": {"labels": {**EDGE, "site": "hall-3"}, "address": "10.0.0.11", "ready": "True"},
    "edge2": {"labels": {**EDGE, "site": "roof"}, "address": "10.0.0.12", "ready": "Unknown"},
    "worker": {"labels": {"site": "hall-3"}, "address": "10.0.0.20", "ready": "True"},
}


def run(*argv: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        [BIN / argv[0], *argv[1:]], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node(name: str, labels: dict[str, str], address: str, ready: str) -> dict[str, Any]:
    status = {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "conditions": [{"type": "Ready", "status": ready}],
        "nodeInfo": {"architecture": "arm64", "osImage": "Debian GNU/Linux 12 (bookworm)"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": status,
    }


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An EdgeSite that knows three nodes, one of them no edge node."""
    folder = tmp_path_factory.mktemp("edgesite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "kubeconfig"
    command = [sys.executable, "-m", "edgelab.edgesite", "server", "--data-dir", str(folder / "data")]
    command += ["--listen", address, "--write-kubeconfig", str(config)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as server:
        try:
            _wait_for(config, folder / "log")
            for name, about in NODES.items():
                _create(config, node(name, **about))
            yield config
        finally:
            server.terminate()


def _wait_for(config: Path, log: Path) -> None:
    deadline = time.monotonic() + 20
    probe = [BIN / "kubectl", f"--kubeconfig={config}", "--request-timeout=2s", "get", "namespaces"]
    while not config.exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.1)


def _create(config: Path, obj: dict[str, Any]) -> None:
    kubectl = ("kubectl", f"--kubeconfig={config}")
    run(*kubectl, "create", "-f", "-", stdin=json.dumps(obj))
    status = json.dumps({"status": obj["status"]})
    name = obj["metadata"]["name"]
    run(*kubectl, "patch", "node", name, "--subresource=status", "--type=merge", "-p", status)


def inventory(path: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """`ansible-inventory --list` with a file of the plugin's."""
    path.write_text(yaml.safe_dump({"plugin": "edgelab.kubeedge.edge_nodes", **options}), encoding="utf-8")
    command = [str(BIN / "ansible-inventory"), "-i", str(path), "--list"]
    environment = {**os.environ, "ANSIBLE_INVENTORY_ENABLED": "edgelab.kubeedge.edge_nodes"}
    environment["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"] = "true"
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def hosts(path: Path, **options: object) -> dict[str, Any]:
    done = inventory(path, **options)
    assert done.returncode == 0, done.stderr
    # Texts that must not be taken for templates are marked in this output.
    document: dict[str, Any] = json.loads(
        done.stdout, object_hook=lambda one: one.get("__ansible_unsafe", one)
    )
    return document


def test_edge_nodes_become_hosts_with_their_addresses(kubeconfig: Path, tmp_path: Path) -> None:
    found = hosts(tmp_path / "edge_nodes.yml", kubeconfig=str(kubeconfig))
    assert sorted(found["edge"]["hosts"]) == ["edge1", "edge2"]
    variables = found["_meta"]["hostvars"]["edge1"]
    assert variables["edgelab_node_ip"] == variables["ansible_host"] == "10.0.0.11"
    assert variables["edgecore_node_name"] == "edge1"
    assert variables["edge_node"]["ready"] is True
    assert variables["edge_node"]["architecture"] == "arm64"


def test_groups_are_made_of_what_the_cluster_says(kubeconfig: Path, tmp_path: Path) -> None:
    found = hosts(
        tmp_path / "fleet.edge_nodes.yaml",
        kubeconfig=str(kubeconfig),
        keyed_groups=[{"key": "edge_node.labels['site']", "prefix": "site"}],
        groups={"not_ready": "not edge_node.ready"},
        compose={"ansible_user": "'pi'"},
    )
    assert found["site_hall_3"]["hosts"] == ["edge1"]
    assert found["not_ready"]["hosts"] == ["edge2"]
    assert found["_meta"]["hostvars"]["edge2"]["ansible_user"] == "pi"


def test_nodes_that_are_not_ready_can_be_left_out(kubeconfig: Path, tmp_path: Path) -> None:
    options = {"ready_only": True, "label_selector": "", "group": "nodes"}
    found = hosts(tmp_path / "edge_nodes.yml", kubeconfig=str(kubeconfig), **options)
    assert sorted(found["nodes"]["hosts"]) == ["edge1", "worker"]


def test_a_relative_kubeconfig_starts_from_the_inventory(kubeconfig: Path) -> None:
    found = hosts(kubeconfig.parent / "edge_nodes.yml", kubeconfig=kubeconfig.name)
    assert sorted(found["edge"]["hosts"]) == ["edge1", "edge2"]


def test_a_missing_kubeconfig_is_named_with_the_option_to_set(tmp_path: Path) -> None:
    done = inventory(tmp_path / "edge_nodes.yml", kubeconfig="/no/such/kubeconfig")
    assert done.returncode != 0
    assert "/no/such/kubeconfig" in done.stderr
    assert "KUBECONFIG" in done.stderr


def test_a_server_that_does_not_answer_is_named(kubeconfig: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "dead").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = inventory(tmp_path / "edge_nodes.yml", kubeconfig="dead", timeout=2)
    assert done.returncode != 0
    assert "https://127.0.0.1:9 does not answer" in done.stderr

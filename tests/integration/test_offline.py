"""The pulled plug: the edge goes on, and comes back to what the API holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.integration.lab import Lab, eventually, fetch

VICTIM = """
apiVersion: v1
kind: Pod
metadata: {name: victim}
spec:
  nodeSelector: {node-role.kubernetes.io/edge: ""}
  tolerations: [{operator: Exists}]
  terminationGracePeriodSeconds: 1
  containers: [{name: web, image: IMAGE}]
"""


def containers(lab: Lab) -> dict[str, str]:
    """Running containers on edge1: id to start time, as containerd tells it."""
    listed = lab.host("edge1", "ctr", "-n", "k8s.io", "tasks", "list").splitlines()[1:]
    running = [line.split()[:2] for line in listed if line.split()[2] == "RUNNING"]
    return dict(running)


def inside(lab: Lab, url: str) -> str:
    """Fetch a URL from edge1 itself, which works without its link."""
    return lab.host("edge1", "curl", "-sS", "--max-time", "5", url)


@pytest.fixture
def unplugged(lab: Lab) -> Iterator[Lab]:
    """edge1 without its link; the plug goes back in whatever happens."""
    lab.link("edge1", "down")
    yield lab
    lab.link("edge1", "up")


def test_the_edge_lives_on_without_the_cloud_and_catches_up(lab: Lab) -> None:
    image = lab.get("deployment", "nginx")["spec"]["template"]["spec"]["containers"][0]["image"]
    lab.kubectl("apply", "-f", "-", stdin=VICTIM.replace("IMAGE", image))
    lab.kubectl("wait", "--for=condition=Ready", "pod/victim", "--timeout=60s")
    before = containers(lab)
    lab.link("edge1", "down")
    try:
        eventually(lambda: not lab.node_ready("edge1"), "the API notices the silence", 90, every=2)
        assert "Welcome to nginx!" in inside(lab, "http://127.0.0.1:8080/")

        lab.host("edge1", "systemctl", "restart", "edgecore")
        time.sleep(12)
        assert containers(lab) == before, "a restart of EdgeCore must not touch containers"
        assert "Welcome to nginx!" in inside(lab, "http://127.0.0.1:8080/")

        lab.kubectl("delete", "pod", "victim", "--grace-period=0", "--force", "--wait=false")
    finally:
        lab.link("edge1", "up")
    eventually(lambda: lab.node_ready("edge1"), "the node is Ready again", 30)
    eventually(lambda: len(containers(lab)) == len(before) - 2, "the deleted pod is gone", 10)
    eventually(lambda: "victim" not in lab.kubectl("get", "pods"), "the API agrees", 10)
    assert "Welcome to nginx!" in fetch(lab.url("nginx"))
    restarts = [c["restartCount"] for c in nginx_statuses(lab)]
    assert restarts == [0]


def nginx_statuses(lab: Lab) -> list[dict[str, int]]:
    """Container statuses of the nginx demo."""
    pods = json.loads(lab.kubectl("get", "pods", "-l", "app=nginx", "-o", "json"))["items"]
    statuses: list[dict[str, int]] = pods[0]["status"]["containerStatuses"]
    return statuses


def test_a_power_cut_of_the_edge_node_loses_nothing(lab: Lab) -> None:
    lab.run("scripts/lab", "kill", "edge1")
    lab.run("scripts/lab", "start", "edge1", deadline=120)
    eventually(lambda: "Welcome to nginx!" in fetch(lab.url("nginx")), "nginx after the power cut", 90)
    eventually(lambda: lab.node_ready("edge1"), "the node is Ready again", 60)


def test_killing_the_control_plane_loses_no_acknowledged_write(lab: Lab) -> None:
    lab.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    try:
        lab.host("cloud", "systemctl", "kill", "-s", "KILL", "edgesite")
        eventually(lambda: lab.get("configmap", "kept")["data"] == {"a": "b"}, "the API is back", 30)
        eventually(lambda: lab.node_ready("edge1"), "the node is Ready", 60)
    finally:
        lab.kubectl("delete", "configmap", "kept", "--ignore-not-found")

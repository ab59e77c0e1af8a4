"""nginx on the edge node: its page, where it runs and from which image, and what becomes of it later."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
DEMO = Path(__file__).resolve().parents[1] / "demo.yml"
IMAGE = "edgelab.local/nginx:1.22"
Kubectl = Callable[..., str]
Machine = Callable[[str], Host]
Eventually = Callable[..., Any]


@pytest.fixture
def page(host: Host, machine: Machine) -> Callable[[int], str]:
    """What the cloud gets from a port of the edge node; empty when nobody listens there."""
    address = host.ansible.get_variables()["edgelab_node_ip"]
    return lambda port: str(machine("cloud").run(f"curl -sS --max-time 5 http://{address}:{port}/").stdout)


def pod(kubectl: Kubectl) -> dict[str, Any]:
    """The one pod of the demo."""
    [found] = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return dict(found)


def test_the_page_comes_from_the_edge(host: Host, page: Callable[[int], str]) -> None:
    assert "Welcome to nginx!" in page(8080)
    assert "Welcome to nginx!" in host.check_output("curl -sS http://127.0.0.1:8080/")


def test_it_runs_on_the_edge_node_in_containerd(host: Host, kubectl: Kubectl) -> None:
    found = pod(kubectl)
    assert (found["spec"]["nodeName"], found["status"]["phase"]) == ("edge1", "Running")
    [status] = found["status"]["containerStatuses"]
    assert (status["image"], status["ready"]) == (IMAGE, True)
    container = status["containerID"].removeprefix("containerd://")
    tasks = host.check_output("ctr -n k8s.io tasks list").splitlines()
    assert any(line.split()[0] == container and "RUNNING" in line for line in tasks)


def test_the_deployment_is_available_and_keeps_one_pod_at_a_time(kubectl: Kubectl) -> None:
    deployment = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    assert deployment["status"]["availableReplicas"] == 1
    assert deployment["spec"]["strategy"]["type"] == "Recreate"


def test_a_pod_that_is_deleted_is_replaced(
    kubectl: Kubectl, page: Callable[[int], str], eventually: Eventually
) -> None:
    before = pod(kubectl)["metadata"]["uid"]
    kubectl("delete", "pod", "-l", "app=web", "--wait=true", "--timeout=60s")
    eventually(lambda: pod(kubectl)["metadata"]["uid"] != before, "another pod", 30)
    eventually(lambda: "Welcome to nginx!" in page(8080), "its page", 60)


def test_another_port_takes_the_place_of_the_one_before(
    play: Callable[..., tuple[int, str]], page: Callable[[int], str]
) -> None:
    for port, other in ((8088, 8080), (8080, 8088)):
        status, text = play(DEMO, {"nginx_demo_host_port": port})
        assert status == 0, text
        assert "changed=1" in text
        assert "Welcome to nginx!" in page(port)
        assert page(other) == ""


def test_a_page_that_does_not_come_is_told_with_what_the_pod_waits_for(
    play: Callable[..., tuple[int, str]], page: Callable[[int], str]
) -> None:
    wrong = {"nginx_demo_image": "edgelab.local/nothing:1", "nginx_demo_timeout": 5}
    status, text = play(DEMO, wrong)
    assert status != 0
    assert "edgelab.local/nothing:1" in text
    status, text = play(DEMO, {})
    assert status == 0, text
    assert "Welcome to nginx!" in page(8080)

"""One box that is cloud and edge: its daemons, its node, and a pod that needs neither of the cloud's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://box"]
Kubectl = Callable[..., str]
CLOUD = ("edgesite", "cloudcore")
DAEMONS = (*CLOUD, "edgecore", "mosquitto", "containerd")


def condition(kubectl: Kubectl, kind: str) -> str:
    """Status of a condition of the one node."""
    [node] = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    assert node["metadata"]["name"] == "box"
    return str(next(c["status"] for c in node["status"]["conditions"] if c["type"] == kind))


def nginx(kubectl: Kubectl) -> dict[str, Any]:
    """The pod of the demo."""
    [pod] = json.loads(kubectl("get", "pods", "-l", "app=nginx", "-o", "json"))["items"]
    return dict(pod)


def containers(host: Host) -> set[str]:
    """Ids of the containers that run on the box, as containerd tells."""
    lines = host.check_output("ctr -n k8s.io tasks list").splitlines()[1:]
    return {line.split()[0] for line in lines if "RUNNING" in line}


def page(host: Host) -> str:
    """What the pod answers at the box's own address."""
    return str(host.check_output("curl -fsS --max-time 5 http://127.0.0.1:8080/"))


@pytest.fixture
def no_cloud(host: Host, kubectl: Kubectl) -> Iterator[None]:
    """The box without its control plane and CloudCore, which come back afterwards."""
    host.check_output(f"systemctl stop {' '.join(CLOUD)}")
    try:
        yield
    finally:
        host.check_output(f"systemctl start {' '.join(CLOUD)}")
    deadline = time.monotonic() + 60
    while condition(kubectl, "Ready") != "True":
        assert time.monotonic() < deadline, "the node is not Ready again"
        time.sleep(1)


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_runs_now_and_after_a_reboot(host: Host, name: str) -> None:
    service = host.service(name)
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["NRestarts"] == "0"


def test_the_node_is_ready(kubectl: Kubectl) -> None:
    assert condition(kubectl, "Ready") == "True"
    assert "box" in kubectl("get", "nodes")


def test_the_programs_of_both_sides_are_one_runtime(host: Host) -> None:
    for name in ("edgesite", "cloudcore", "edgecore", "keadm"):
        assert host.file(f"/opt/edgelab/current/bin/{name}").exists


def test_memory_is_limited_where_that_was_asked_for(host: Host) -> None:
    assert host.service("edgecore").systemd_properties["MemoryHigh"] == str(400 * 2**20)


def test_a_kubelet_beside_it_is_no_reason_not_to_start(host: Host) -> None:
    pid = host.service("edgecore").systemd_properties["MainPID"]
    environment = host.file(f"/proc/{pid}/environ").content_string.split("\0")
    assert "CHECK_EDGECORE_ENVIRONMENT=false" in environment


def test_edgecore_starts_beside_a_kubelet(host: Host) -> None:
    host.check_output("install -m 755 /bin/sleep /run/kubelet")
    host.check_output("systemd-run --unit=kubelet-of-another --quiet /run/kubelet 300")
    try:
        assert "kubelet" in host.check_output("ps -e -o comm=").split()
        before = containers(host)
        host.check_output("systemctl restart edgecore")
        assert host.service("edgecore").is_running
        assert containers(host) == before
    finally:
        host.check_output("systemctl stop kubelet-of-another")
        host.check_output("rm /run/kubelet")


def test_what_was_not_asked_for_is_not_there(host: Host) -> None:
    assert not host.service("edgelab-twinexporter").is_running
    assert not host.service("victoria-metrics").is_running


def test_the_demo_runs_in_containerd_and_answers(host: Host, kubectl: Kubectl) -> None:
    pod = nginx(kubectl)
    assert pod["spec"]["nodeName"] == "box"
    assert pod["status"]["phase"] == "Running"
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    assert container in containers(host)
    assert "Welcome to nginx!" in page(host)


def test_pods_run_and_answer_without_the_cloud(host: Host, kubectl: Kubectl, no_cloud: None) -> None:
    before = containers(host)
    assert before
    assert not any(host.service(name).is_running for name in CLOUD)
    assert "Welcome to nginx!" in page(host)
    # EdgeCore knows its pods by heart: it starts without a cloud, and leaves them as they are.
    host.check_output("systemctl restart edgecore")
    assert host.service("edgecore").is_running
    time.sleep(5)
    assert containers(host) == before
    assert "Welcome to nginx!" in page(host)


def test_cloudcore_serves_with_a_certificate_of_its_own(host: Host) -> None:
    subject = "openssl x509 -noout -subject"
    connection = "openssl s_client -connect 127.0.0.1:10002 </dev/null 2>/dev/null"
    assert "system:node:box" in host.check_output(f"{subject} -in /etc/kubeedge/certs/server.crt")
    assert "system:node:box" not in host.check_output(f"{connection} | {subject}")


def test_the_same_pod_is_there_when_the_cloud_is_back(host: Host, kubectl: Kubectl) -> None:
    status = nginx(kubectl)["status"]
    assert status["phase"] == "Running"
    [container] = status["containerStatuses"]
    assert container["restartCount"] == 0
    assert container["containerID"].removeprefix("containerd://") in containers(host)

"""A board of another architecture as a node: what runs on it is arm64's, and it does what any node does.

The processor is emulated, and the kernel, runc and iptables are the machine's (roles/lab_host/README.md).
Firmware and kernel command line are stand-ins (raspberry_pi/prepare.yml). Nothing here tells what a board's
own kernel does, or how fast a board is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
AARCH64 = "b7 00"
"""e_machine of an ELF header (elf(5)), as od(1) prints it."""
RUNTIME = "/opt/edgelab/current"
IMAGE = "edgelab.local/busybox:1.35"
COMMAND = ["busybox", "sleep", "1000"]
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe", "namespace": "default"},
    "spec": {
        # No nodeName: the scheduler has to find the board by its label.
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "probe", "image": IMAGE, "command": COMMAND}],
    },
}
Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def container(kubectl: Kubectl) -> Iterator[str]:
    """Id of the container of a running pod."""
    kubectl("apply", "-f", "-", stdin=json.dumps(POD))
    kubectl("wait", "--for=condition=Ready", "pod/probe", "--timeout=180s")
    pod = json.loads(kubectl("get", "pod", "probe", "-o", "json"))
    assert pod["spec"]["nodeName"] == "edge1"
    yield pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    kubectl("delete", "pod", "probe", "--wait=true", "--timeout=120s")


def machine_of(host: Host, path: str) -> str:
    """e_machine of a program or library."""
    return host.check_output(f"od -An -tx1 -j18 -N2 {path}").strip()


def tasks(host: Host) -> set[str]:
    """Containers on the host with process and state, as containerd tells."""
    return set(host.check_output("ctr -n k8s.io tasks list").splitlines()[1:])


def test_the_board_is_another_machine_than_the_cloud(host: Host, kubectl: Kubectl) -> None:
    assert host.check_output("uname -m") == "aarch64"
    assert host.check_output("dpkg --print-architecture") == "arm64"
    labels = json.loads(kubectl("get", "node", "edge1", "-o", "json"))["metadata"]["labels"]
    assert labels["kubernetes.io/arch"] == "arm64"


def test_the_node_is_ready_and_says_what_it_is(kubectl: Kubectl) -> None:
    status = json.loads(kubectl("get", "node", "edge1", "-o", "json"))["status"]
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True", ready
    assert status["nodeInfo"]["architecture"] == "arm64"


@pytest.mark.parametrize("service", ["containerd", "mosquitto", "edgecore"])
def test_services_run_now_and_after_a_reboot(host: Host, service: str) -> None:
    unit = host.service(service)
    assert unit.is_running
    assert unit.is_enabled
    assert unit.systemd_properties["NRestarts"] == "0"


def test_the_runtime_came_as_wheels_and_needed_no_compiler(host: Host) -> None:
    assert not host.exists("gcc")
    assert not host.exists("cc")
    libraries = host.check_output(f"find -L {RUNTIME}/lib -name '*.so'").splitlines()
    assert libraries
    assert {machine_of(host, path) for path in libraries} == {AARCH64}


def test_containerd_and_its_shim_are_the_boards(host: Host) -> None:
    assert machine_of(host, "/usr/bin/containerd") == AARCH64
    assert machine_of(host, "/usr/bin/containerd-shim-runc-v2") == AARCH64


@pytest.mark.parametrize("image", ["edgelab.local/pause:3.9", IMAGE])
def test_images_are_the_boards(host: Host, image: str) -> None:
    lines = host.check_output("ctr -n k8s.io images list").splitlines()
    assert "linux/arm64" in next(line for line in lines if line.startswith(f"{image} "))


def test_a_pod_runs_programs_of_the_board(host: Host, kubectl: Kubectl, container: str) -> None:
    assert "RUNNING" in next(line for line in tasks(host) if line.startswith(container))
    enter = f"ctr -n k8s.io tasks exec --exec-id probe-{time.monotonic_ns()} {container}"
    machine, *network = host.check_output(f"{enter} busybox sh -c 'uname -m; ip address'").splitlines()
    assert machine == "aarch64"
    address = json.loads(kubectl("get", "pod", "probe", "-o", "json"))["status"]["podIP"]
    assert any(f" {address}/" in line for line in network)


def test_a_restart_of_the_daemon_leaves_containers_alone(host: Host, container: str) -> None:
    before = tasks(host)
    assert any(line.startswith(container) for line in before)
    host.check_output("systemctl restart edgecore")
    assert host.service("edgecore").is_running
    assert tasks(host) == before


def test_a_message_passes_the_broker(host: Host) -> None:
    host.check_output("mosquitto_pub -h 127.0.0.1 -t edgelab/probe -r -m servus")
    got = host.check_output("mosquitto_sub -h 127.0.0.1 -t edgelab/probe -C 1 -W 30")
    assert got == "servus"
    host.check_output("mosquitto_pub -h 127.0.0.1 -t edgelab/probe -r -n")


def test_edgecore_answers_over_the_broker(host: Host) -> None:
    topic = r"\$hw/events/node/edge1/membership/get"
    message = json.dumps({"event_id": "probe"})
    answer = host.check_output(
        f'mosquitto_rr -h 127.0.0.1 -t "{topic}" -e "{topic}/result" -m \'{message}\' -W 60'
    )
    assert json.loads(answer)["event_id"] == "probe"


def test_the_board_was_booted_again_once_for_its_memory_controller(host: Host) -> None:
    assert host.file("/boot/firmware/cmdline.txt").content_string.endswith(
        " cgroup_enable=memory cgroup_memory=1\n"
    )
    assert host.file("/etc/emulated/boots").content_string.split() == ["boot", "boot"]
    assert "memory\t0\t70\t1" in host.file("/run/emulated/cgroups").content_string

"""Names and ports of Services on two hosts: here, from afar, without the cloud; and how it is boxed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
UNIT = "edgemesh-agent"
URL = "http://nginx-svc.default.svc.cluster.local:18050"
EXPOSURE = 3.0
"""What systemd-analyze may say of it at most, of 10: it makes interfaces and rules."""
RESIDENT_KIB = 32 * 1024
Eventually = Callable[..., str]
Machine = Callable[[str], Host]


def pod(name: str, image: str, *command: str) -> dict[str, object]:
    container = {"name": "main", "image": image, "command": list(command) or None}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeName": "edge1",
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "nginx-svc", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 18050, "targetPort": 80}]},
}


@pytest.fixture(scope="module", autouse=True)
def web(kubectl: Callable[..., str]) -> Iterator[None]:
    """nginx on edge1, its Service, and a pod to ask from."""
    objects = [
        pod("web", "edgelab.local/nginx:1.22"),
        pod("client", "edgelab.local/busybox:1.35", "sleep", "100000"),
        SERVICE,
    ]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    kubectl("wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=60s")
    yield
    kubectl("delete", "service", "nginx-svc")
    kubectl("delete", "pod", "web", "client", "--wait=true", "--timeout=30s")


def page(host: Host) -> str:
    return host.run(f"curl -sS --max-time 5 {URL}").stdout


def serves(host: Host, eventually: Eventually) -> None:
    eventually(lambda: "Welcome to nginx!" in page(host), f"{URL} answers", 40)


def state(host: Host) -> tuple[str, ...]:
    return (
        host.check_output("ip -o link | cut -d: -f2"),
        host.check_output("ip -4 route show table all"),
        host.check_output("nft list tables"),
        host.file("/etc/resolv.conf").content_string,
    )


def test_it_runs_now_and_after_a_reboot_and_stays_small(host: Host) -> None:
    service = host.service(UNIT)
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["NRestarts"] == "0"
    process = host.process.get(pid=int(service.systemd_properties["MainPID"]))
    assert int(process.rss) < RESIDENT_KIB


def test_a_service_answers_on_the_node_that_has_it(host: Host, eventually: Eventually) -> None:
    serves(host, eventually)


def test_a_service_answers_on_another_node_through_cloudcore(
    machine: Machine, eventually: Eventually
) -> None:
    serves(machine("edge2"), eventually)


def test_pods_ask_the_mesh_for_names(host: Host, eventually: Eventually) -> None:
    serves(host, eventually)
    pods = host.check_output(
        "ctr -n k8s.io containers list 'labels.io.kubernetes.pod.name==client' -q"
    ).split()
    asked = [
        host.run(f"ctr -n k8s.io tasks exec --exec-id t{number} {name} wget -q -O - http://nginx-svc:18050")
        for number, name in enumerate(pods)
    ]
    assert any("Welcome to nginx!" in answer.stdout for answer in asked), asked


def test_without_the_cloud_it_goes_on_and_starts(
    host: Host, machine: Machine, eventually: Eventually
) -> None:
    serves(host, eventually)
    cloud = machine("cloud")
    cloud.check_output("systemctl stop cloudcore edgesite")
    try:
        assert "Welcome to nginx!" in page(host)
        host.check_output(f"systemctl restart {UNIT}")
        serves(host, eventually)
    finally:
        cloud.check_output("systemctl start edgesite cloudcore")


@pytest.fixture
def stays_ended(host: Host) -> Iterator[None]:
    """The unit is not started anew, and runs again after the test."""
    drop_in = f"/run/systemd/system/{UNIT}.service.d"
    host.check_output(f"mkdir -p {drop_in}; printf '[Service]\\nRestart=no\\n' > {drop_in}/test.conf")
    host.check_output("systemctl daemon-reload")
    yield
    host.check_output(f"rm -r {drop_in}; systemctl daemon-reload; systemctl restart {UNIT}")


@pytest.mark.usefixtures("stays_ended")
@pytest.mark.parametrize("end", ["stop", "kill -s KILL"])
def test_all_of_it_is_gone_when_it_ends(host: Host, eventually: Eventually, end: str) -> None:
    host.check_output(f"systemctl stop {UNIT}")
    before = state(host)
    assert not any("edgemesh" in part or "169.254.96.16" in part for part in before)
    host.check_output(f"systemctl start {UNIT}")
    serves(host, eventually)
    assert state(host) != before
    host.check_output(f"systemctl {end} {UNIT}")
    eventually(lambda: state(host) == before, "it is as before", 20)


def test_it_is_boxed_in(host: Host, exposure: Callable[[Host, str], float]) -> None:
    assert host.service(UNIT).systemd_properties["Type"] == "notify"
    assert exposure(host, f"{UNIT}.service") <= EXPOSURE

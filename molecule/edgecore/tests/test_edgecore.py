"""An edge node that joined: the service, its files, and a pod that it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
PROGRAMS = "/opt/edgelab/current/bin"
SECRETS = ("/etc/kubeedge/config/edgecore.yaml", "/etc/kubeedge/certs/server.key")
RESIDENT_KIB = 55 * 1024
Kubectl = Callable[..., str]
Containers = Callable[[Host], set[str]]


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("edgecore")
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["NRestarts"] == "0"
    assert service.systemd_properties["KillMode"] == "process"


@pytest.mark.parametrize("path", SECRETS)
def test_secrets_are_for_root_only(host: Host, path: str) -> None:
    file = host.file(path)
    assert file.is_file
    assert (file.user, file.mode) == ("root", 0o600)


def test_the_join_token_is_gone_after_joining(host: Host) -> None:
    assert not host.file("/etc/kubeedge/bootstrap-edgecore.conf").exists


def test_the_certificate_names_the_node(host: Host) -> None:
    subject = host.check_output("openssl x509 -noout -subject -in /etc/kubeedge/certs/server.crt")
    assert "system:node:edge1" in subject.replace(" ", "")


def test_the_configuration_is_accepted_by_the_daemon(host: Host) -> None:
    assert host.run(f"{PROGRAMS}/edgecore --check-config /etc/kubeedge/config/edgecore.yaml").rc == 0


def test_the_daemon_stays_small(host: Host) -> None:
    pid = host.service("edgecore").systemd_properties["MainPID"]
    status = host.file(f"/proc/{pid}/status").content_string
    resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident) < RESIDENT_KIB


def test_the_node_is_ready(kubectl: Kubectl) -> None:
    conditions = json.loads(kubectl("get", "node", "edge1", "-o", "json"))["status"]["conditions"]
    ready = next(c for c in conditions if c["type"] == "Ready")
    assert ready["status"] == "True", ready


def test_a_pod_runs_in_containerd(host: Host, kubectl: Kubectl, probe: None, containers: Containers) -> None:
    pod = json.loads(kubectl("get", "pod", "probe", "-o", "json"))
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    assert container in containers(host)
    assert pod["status"]["podIP"]


def test_a_restart_of_the_daemon_leaves_containers_alone(
    host: Host, probe: None, containers: Containers
) -> None:
    before = containers(host)
    host.check_output("systemctl restart edgecore")
    time.sleep(3)
    assert host.service("edgecore").is_running
    assert containers(host) == before

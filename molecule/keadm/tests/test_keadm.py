"""A cloud and an edge node that keadm set up: they work, can be looked at, and taken off."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
KEADM = "/usr/local/bin/keadm"
Kubectl = Callable[..., str]
COMMAND = ["busybox", "sh", "-c", "echo hello; exec busybox sleep 9999"]
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
    "spec": {
        "nodeName": "edge1",
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "edgelab.local/busybox:1.35", "command": COMMAND}],
    },
}


def keadm(host: Host, words: str, status: int = 0) -> dict[str, Any]:
    done = host.run(f"{KEADM} {words} --output json")
    assert done.rc == status, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def phase(host: Host) -> str:
    done = host.run(f"{KEADM} debug get pod web -o json")
    if done.rc:
        return ""
    return str((json.loads(done.stdout)["items"][0].get("status") or {}).get("phase"))


@pytest.mark.parametrize(("name", "daemon"), [("cloud", "cloudcore"), ("edge1", "edgecore")])
def test_the_daemon_runs_now_and_after_a_reboot(
    machine: Callable[[str], Host], name: str, daemon: str
) -> None:
    service = machine(name).service(daemon)
    assert service.is_running
    assert service.is_enabled


def test_secrets_are_for_root_only_and_the_token_is_gone(host: Host) -> None:
    for path in ("/etc/kubeedge/config/edgecore.yaml", "/etc/kubeedge/certs/server.key"):
        assert host.file(path).mode == 0o600
    assert not host.file("/etc/kubeedge/bootstrap-edgecore.conf").exists


def test_the_cgroup_driver_is_containerd_s(host: Host) -> None:
    systemd = "SystemdCgroup = true" in host.file("/etc/containerd/config.toml").content_string
    driver = "cgroupDriver: systemd" if systemd else "cgroupDriver: cgroupfs"
    assert driver in host.file("/etc/kubeedge/config/edgecore.yaml").content_string


def test_the_node_is_ready_with_its_label(kubectl: Kubectl) -> None:
    node = json.loads(kubectl("get", "node", "edge1", "-o", "json"))
    assert node["metadata"]["labels"]["made-by"] == "keadm"
    assert {"type": "Ready", "status": "True"}.items() <= next(
        one for one in node["status"]["conditions"] if one["type"] == "Ready"
    ).items()


def test_a_pod_runs_and_debug_shows_it(host: Host, kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=json.dumps(POD))
    deadline = time.monotonic() + 60
    while phase(host) != "Running":
        assert time.monotonic() < deadline, keadm(host, "debug diagnose pod web")
        time.sleep(0.5)
    assert "web" in host.check_output(f"{KEADM} debug get pods -A -o wide")
    assert keadm(host, "debug diagnose pod web")["counts"]["failed"] == 0


def test_logs_and_commands_reach_the_pod_although_nothing_was_said_of_streams(
    host: Host, kubectl: Kubectl
) -> None:
    deadline = time.monotonic() + 60
    while "InternalDNS" not in kubectl("get", "node", "edge1", "-o", "jsonpath={.status.addresses[*].type}"):
        assert time.monotonic() < deadline, host.check_output("journalctl -u edgecore -n 20")
        time.sleep(0.5)
    assert kubectl("logs", "web") == "hello\n"
    assert kubectl("exec", "web", "--", "busybox", "echo", "hi") == "hi\n"
    tunnel = next(
        one for one in keadm(host, "debug diagnose node")["checks"] if one["code"] == "EDGE-CLOUD-TUNNEL"
    )
    assert tunnel["status"] == "ok"


def test_the_host_has_what_it_takes(host: Host) -> None:
    assert keadm(host, "debug check arch mem disk dns network pid runtime")["counts"]["failed"] == 0


def test_what_is_collected_holds_no_key(host: Host) -> None:
    path = keadm(host, "debug collect --output-path /var/tmp")["file"]
    assert host.file(path).mode == 0o600
    texts = host.check_output(f"tar -xzOf {path}")
    assert "PRIVATE KEY" not in texts
    assert "edgecore[" in texts


def test_settings_change_and_the_pod_is_left_alone(host: Host) -> None:
    before = host.check_output("pgrep -f '[b]usybox sleep 9999'")
    assert keadm(host, "config-update --set modules.edgeHub.heartbeat=20")["changed"] is True
    assert host.check_output("pgrep -f '[b]usybox sleep 9999'") == before
    answer = keadm(host, "config-update --set modules.edgeHub.hartbeat=20", status=1)
    assert "did you mean heartbeat?" in answer["error"]


def test_a_reset_leaves_nothing_behind(host: Host) -> None:
    assert keadm(host, "reset edge --dry-run")["changed"] is True
    assert host.service("edgecore").is_running
    assert keadm(host, "reset edge --force")["sides"] == ["edge"]
    for path in ("/etc/kubeedge", "/var/lib/kubeedge", "/etc/systemd/system/edgecore.service"):
        assert not host.file(path).exists, path
    assert "busybox sleep 9999" not in host.check_output("ps -e -o args=")
    assert "/var/lib/kubelet/" not in host.check_output("findmnt --raw --noheadings --output TARGET")
    assert keadm(host, "reset edge --force")["changed"] is False

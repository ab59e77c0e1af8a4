"""The doctor on the running lab: nothing to complain of, then planted faults, each found with its fix.

Every fault is taken away again, whatever happens, and a last look finds the lab as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.lab import Lab, eventually

CONFIG = "/etc/kubeedge/config/edgecore.yaml"
CERTS = "/etc/kubeedge/certs"
CA = "/etc/kubeedge/ca/rootCA.crt"
TOKEN = "/etc/kubeedge/bootstrap-edgecore.conf"
OTHER_CA = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=other "
    f"-keyout /dev/null -out {CA}"
)
KEEP_IMAGE = "edgelab.local/kept:1"
DAEMON_SET = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system}
spec:
  selector: {matchLabels: {app: stray}}
  template:
    metadata: {labels: {app: stray}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers: [{name: stray, image: "edgelab.local/none:1"}]
"""


@dataclass(frozen=True)
class Fault:
    """What to do to edge1, how to undo it, and what the doctor has to say.

    `codes` have to be found, `also` are consequences that may be; `fix` are words of the first one's fix.
    """

    name: str
    codes: tuple[str, ...]
    fix: str
    plant: str = "true"
    restore: str = "true"
    also: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


FAULTS = (
    Fault(
        "an address that CloudCore's certificate does not name",
        ("EDGE-CLOUD-SAN",),
        "add cloud.example.org to cloudcore_advertise_addresses",
        "cp /etc/hosts /root/hosts; echo CLOUD cloud.example.org >> /etc/hosts",
        "cp /root/hosts /etc/hosts; rm /root/hosts",
        options={"cloud_address": "cloud.example.org"},
    ),
    Fault(
        "another CA than the cloud's",
        ("EDGE-CLOUD-CA", "EDGE-CERT"),
        "joins anew",
        f"cp -p {CA} /root/ca; {OTHER_CA}",
        f"cp -p /root/ca {CA}; rm /root/ca",
    ),
    Fault(
        "a join token that was left behind",
        ("EDGE-TOKEN",),
        f"remove it: {TOKEN}",
        f"umask 077; echo a.b.c.d > {TOKEN}",
        f"rm {TOKEN}",
    ),
    Fault(
        "a port that a stranger holds",
        ("HOST-PORT-TAKEN",),
        "edgecore needs it",
        "systemd-run -q --unit=thief python3 -m http.server 10550 --bind 127.0.0.1; "
        "until ss -ltn | grep -q :10550; do sleep 0.1; done",
        "systemctl stop thief",
    ),
    Fault(
        "a CNI configuration that is gone",
        ("EDGE-CNI-CONFIG",),
        "site.yml --tags cni",
        "mv /etc/cni/net.d /etc/cni/away; mkdir /etc/cni/net.d",
        "rmdir /etc/cni/net.d; mv /etc/cni/away /etc/cni/net.d; systemctl restart containerd",
        also=("EDGE-RUNTIME-READY",),
    ),
    Fault(
        "a container runtime that was stopped",
        ("EDGE-RUNTIME-SOCKET", "EDGE-RUNTIME-READY", "HOST-UNIT"),
        "systemctl restart containerd",
        "systemctl stop containerd",
        "systemctl start containerd",
    ),
    Fault(
        "a field that does not exist",
        ("EDGE-CONFIG-UNKNOWN",),
        "correct its spelling",
        f"cp -p {CONFIG} /root/config; echo 'colour: blue' >> {CONFIG}",
        f"cp -p /root/config {CONFIG}; rm /root/config",
    ),
    Fault(
        "a value that does not work",
        ("EDGE-CONFIG",),
        "edgecore --check-config",
        f"cp -p {CONFIG} /root/config; sed -i 's/cgroupDriver: .*/cgroupDriver: none/' {CONFIG}",
        f"cp -p /root/config {CONFIG}; rm /root/config",
        also=("EDGE-CGROUP-DRIVER",),
    ),
    Fault(
        "a key that everybody may read",
        ("HOST-SECRET-MODE",),
        f"chmod 600 {CERTS}/server.key",
        f"chmod 644 {CERTS}/server.key",
        f"chmod 600 {CERTS}/server.key",
    ),
    Fault(
        "a clock that is an hour off",
        ("HOST-CLOCK",),
        "timedatectl set-ntp true",
        options={"controller_time": -3600.0},
    ),
    Fault(
        "a database that is damaged",
        ("HOST-DATABASE",),
        "restore the last backup",
        "umask 077; mkdir -p /var/lib/edgesite; head -c 4096 /var/lib/kubeedge/edgecore.db > "
        "/var/lib/edgesite/state.db; head -c 8192 /dev/urandom >> /var/lib/edgesite/state.db; "
        "printf xxxxxxxx | dd of=/var/lib/edgesite/state.db bs=1 seek=100 conv=notrunc status=none",
        "rm -r /var/lib/edgesite",
    ),
    Fault(
        "a sandbox image that was removed",
        ("EDGE-SANDBOX-IMAGE",),
        "--tags containerd_images",
        f"ctr -n k8s.io images tag IMAGE {KEEP_IMAGE} && ctr -n k8s.io images rm --sync IMAGE",
        f"ctr -n k8s.io images tag {KEEP_IMAGE} IMAGE && ctr -n k8s.io images rm {KEEP_IMAGE}",
    ),
    Fault(
        "a name that leads somewhere else",
        ("HOST-NAMES",),
        "/etc/hosts",
        "cp /etc/hosts /root/hosts; sed 's/^CLOUD cloud$/192.0.2.1 cloud/' /root/hosts > /etc/hosts",
        "cp /root/hosts /etc/hosts; rm /root/hosts",
    ),
    Fault(
        "a disk that is full",
        ("HOST-DISK",),
        "make room below /var/lib/edgelab",
        "mount -t tmpfs -o size=1m small /var/lib/edgelab; "
        "head -c 1048576 /dev/zero > /var/lib/edgelab/full || true",
        "umount /var/lib/edgelab",
    ),
)


def examine(lab: Lab, host: str, **options: Any) -> list[dict[str, str]]:
    """The findings of module edge_doctor on a host."""
    nodes = lab.info["nodes"]
    arguments = {
        "sides": ["cloud" if host == "cloud" else "edge"],
        "node_ip": nodes[host],
        "names": nodes,
        "cloud_address": nodes["cloud"],
        "cloud_addresses": [nodes["cloud"]],
        "nodes": [name for name in nodes if name != "cloud"],
        **({} if host == "cloud" else {"node_name": host}),
        **options,
        "controller_time": time.time() + options.get("controller_time", 0.0),
    }
    module = ("-m", "edgelab.kubeedge.edge_doctor", "-a", json.dumps(arguments))
    done = lab.run(
        "env", "ANSIBLE_CALLBACK_RESULT_FORMAT=json", "ansible", "-i", "inventories/local", host, *module
    )
    result: dict[str, Any] = json.loads(done.stdout.partition("=>")[2])
    assert result["changed"] is False
    checks: list[dict[str, str]] = result["checks"]
    return checks


def complaints(checks: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Failed checks and warnings, by code."""
    return {check["code"]: check for check in checks if check["status"] in ("failed", "warning")}


def sandbox_image(lab: Lab) -> str:
    """The pause image that EdgeCore is told to use."""
    return lab.host("edge1", "grep", "-oP", "podSandboxImage: \\K.*", CONFIG).strip()


@contextmanager
def planted(lab: Lab, fault: Fault) -> Iterator[None]:
    """The fault on edge1, as long as the block lasts."""

    def filled(text: str) -> str:
        text = text.replace("CLOUD", lab.info["nodes"]["cloud"])
        return text.replace("IMAGE", sandbox_image(lab)) if "IMAGE" in text else text

    try:
        lab.host("edge1", "bash", "-c", filled(fault.plant))
        yield
    finally:
        lab.host("edge1", "bash", "-c", filled(fault.restore))


def play(lab: Lab, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run the playbook: its status, what it printed, and its report."""
    done = lab.run(
        "ansible-playbook", "-i", "inventories/local", "playbooks/doctor.yml", *arguments, check=False
    )
    report: dict[str, Any] = json.loads((lab.state / "doctor.json").read_text(encoding="utf-8"))
    return done.returncode, done.stdout, report


def test_a_healthy_lab_has_no_failed_check(lab: Lab) -> None:
    status, output, report = play(lab)
    assert (status, report["counts"]["failed"]) == (0, 0), output
    assert set(report["hosts"]) == {"localhost", *lab.info["nodes"]}
    assert report["counts"]["ok"] > 60
    assert "changed=0" in output
    assert "changed=1" not in output
    known = {one["code"]: one["status"] for checks in report["hosts"].values() for one in checks}
    assert "unknown" not in known.values(), "with everything installed everything can be said"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_with_its_fix(lab: Lab, fault: Fault) -> None:
    with planted(lab, fault):
        found = complaints(examine(lab, "edge1", **fault.options))
    assert set(fault.codes) <= set(found) <= {*fault.codes, *fault.also}, found
    assert fault.fix in found[fault.codes[0]]["fix"]


def test_a_pulled_plug_of_the_cloud_is_found_on_the_edge(lab: Lab) -> None:
    lab.link("cloud", "down")
    try:
        found = complaints(examine(lab, "edge1"))
    finally:
        lab.link("cloud", "up")
    assert set(found) == {"EDGE-CLOUD-PORTS", "EDGE-CLOUD-TUNNEL"}
    assert "systemctl status cloudcore" in found["EDGE-CLOUD-PORTS"]["fix"]
    eventually(lambda: lab.node_ready("edge1"), "the node is Ready again", 60)


def test_a_daemon_set_that_gets_on_the_edge_is_found_on_the_cloud(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", stdin=DAEMON_SET)
    try:
        found = complaints(examine(lab, "cloud"))
    finally:
        lab.kubectl("delete", "-f", "-", "--wait=false", stdin=DAEMON_SET)
    assert {"NODE-DAEMONSETS"} <= set(found) <= {"NODE-DAEMONSETS", "NODE-PODS"}, found
    assert "keadm off-edge set" in found["NODE-DAEMONSETS"]["fix"]
    eventually(lambda: "kube-proxy" not in lab.kubectl("get", "pods", "-A"), "its pods are gone", 30)


def test_a_host_that_cannot_be_reached_is_reported_and_the_others_go_on(lab: Lab, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.ini"
    nowhere.write_text(f"[edge]\nedge1 ansible_port=1 ansible_control_path={tmp_path}/none\n")
    status, output, report = play(lab, "-i", str(nowhere))
    assert status != 0
    assert [one["code"] for one in report["hosts"]["edge1"]] == ["HOST-UNREACHABLE"]
    assert "ansible edge1 -m ansible.builtin.ping" in output
    assert len(report["hosts"]["cloud"]) > 30


def test_nothing_of_the_faults_is_left(lab: Lab) -> None:
    for host in lab.info["nodes"]:

        def well(host: str = host) -> bool:
            return complaints(examine(lab, host)) == {}

        eventually(well, f"{host} is well", 30)

"""After the upgrade from 1.33.5 to 1.34.1, and after upgrades that had to be refused."""

from __future__ import annotations

import json
import re

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://all"]
ADMIN = "kubectl --kubeconfig /etc/edgelab/admin.kubeconfig"


@pytest.mark.parametrize("package", ["kubeadm", "kubelet", "kubectl"])
def test_the_new_version_is_installed_pinned_and_held(host: Host, package: str) -> None:
    assert host.package(package).version == "1.34.1-1.1"
    assert "1.34.2-1.1" in host.check_output(f"apt-cache madison {package}")
    assert "Candidate: 1.34.1-1.1" in host.check_output(f"apt-cache policy {package}")
    assert package in host.check_output("apt-mark showhold").split()


def test_the_source_is_that_of_the_new_minor_version(host: Host) -> None:
    assert "/v1.34/deb/" in host.file("/etc/apt/sources.list.d/kubernetes.sources").content_string


def test_every_node_runs_it_and_takes_pods_again(host: Host) -> None:
    if host.backend.get_hostname() == "worker1":
        return
    for node in json.loads(host.check_output(f"{ADMIN} get nodes --output json"))["items"]:
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.1"
        assert not node["spec"].get("unschedulable")


def test_the_control_plane_runs_it(host: Host) -> None:
    if host.backend.get_hostname() == "worker1":
        return
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert f"{name}:v1.34.1" in host.file(f"/etc/kubernetes/manifests/{name}.yaml").content_string


def test_the_kubelet_was_replaced_once(host: Host) -> None:
    log = host.check_output("grep 'upgrade kubelet:all 1.33.5-1.1 1.34.1-1.1' /var/log/dpkg.log")
    assert len(log.splitlines()) == 1


def test_the_nodes_were_emptied_before(host: Host) -> None:
    if host.backend.get_hostname() != "cloud1":
        return
    before = set(host.file("/root/pods-before").content_string.split())
    after = set(host.check_output(f"{ADMIN} get pods --output name").split())
    assert len(before) == len(after) == 3
    assert not before & after


def test_kubeadm_was_run_in_the_order_that_it_asks_for(host: Host) -> None:
    lines = [
        json.loads(line) for line in host.file("/var/log/standin-arguments.log").content_string.splitlines()
    ]
    steps = [" ".join(line[3:]) for line in lines if "upgrade" in line]
    first = host.backend.get_hostname() == "cloud1"
    wanted = ["upgrade plan v1.34.1", "upgrade apply v1.34.1 --yes"] if first else ["upgrade node"]
    assert steps == wanted
    assert all(re.fullmatch(r"1\.34\.1", line[1]) for line in lines if "upgrade" in line)

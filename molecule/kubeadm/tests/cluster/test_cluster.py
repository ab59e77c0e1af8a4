"""The cluster as role kubeadm made it: packages and pins, who may read what, what the API knows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://all"]
PACKAGES = ("kubeadm", "kubelet", "kubectl")
ADMIN = "kubectl --kubeconfig /etc/edgelab/admin.kubeconfig"
TOKEN = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")
CERTIFICATE_KEY = re.compile(r"\b[0-9a-f]{64}\b")


def is_control_plane(host: Host) -> bool:
    return str(host.backend.get_hostname()).startswith("cloud")


def api(host: Host, what: str) -> Any:
    return json.loads(host.check_output(f"{ADMIN} get {what} --output json"))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_pinned_version_is_installed_although_there_is_a_newer_one(host: Host, package: str) -> None:
    offered = host.check_output(f"apt-cache madison {package}")
    assert "1.33.6-1.1" in offered
    assert host.package(package).version == "1.33.5-1.1"
    policy = host.check_output(f"apt-cache policy {package}")
    assert re.search(r"Candidate: 1\.33\.5-1\.1", policy)


def test_the_packages_are_held(host: Host) -> None:
    assert set(host.check_output("apt-mark showhold").split()) == set(PACKAGES)


def test_the_source_is_signed_by_the_pinned_key(host: Host) -> None:
    source = host.file("/etc/apt/sources.list.d/kubernetes.sources")
    fields = dict(line.split(": ", 1) for line in source.content_string.splitlines() if ": " in line)
    assert fields["URIs"].endswith("/v1.33/deb/")
    assert (fields["Suites"], fields["Signed-By"]) == ("/", "/etc/apt/keyrings/kubernetes.asc")
    assert "trusted" not in source.content_string.lower()
    assert host.file("/etc/apt/keyrings/kubernetes.asc").mode == 0o644


def test_apt_refuses_the_source_without_its_key(host: Host) -> None:
    key, lists = "/etc/apt/keyrings/kubernetes.asc", "/tmp/lists"
    only = "-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/kubernetes.sources -o Dir::Etc::sourceparts=-"
    host.check_output(f"mkdir -p {lists}/partial && mv {key} /root/key.asc")
    try:
        said = host.run(f"apt-get update {only} -o Dir::State::Lists={lists}")
    finally:
        host.check_output(f"mv /root/key.asc {key} && rm -r {lists}")
    assert said.rc != 0
    assert "NO_PUBKEY" in said.stderr + said.stdout


def test_the_kubelet_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("kubelet")
    assert service.is_running
    assert service.is_enabled


def test_the_cgroup_driver_is_that_of_the_runtime(host: Host) -> None:
    kubelet = yaml.safe_load(host.file("/var/lib/kubelet/config.yaml").content_string)
    unified = host.check_output("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert kubelet["cgroupDriver"] == ("systemd" if unified else "cgroupfs")
    runtime = host.check_output("containerd config dump")
    driver = next(line.split("=")[1].strip() for line in runtime.splitlines() if "SystemdCgroup" in line)
    assert driver == str(kubelet["cgroupDriver"] == "systemd").lower()


def test_etcds_image_came_from_an_archive(host: Host) -> None:
    assert "registry.k8s.io/etcd:3.6.4-0" in host.check_output("ctr -n k8s.io images list -q").splitlines()


def test_the_administrator_has_a_kubeconfig_on_control_planes_only(host: Host) -> None:
    file = host.file("/etc/edgelab/admin.kubeconfig")
    assert file.exists == is_control_plane(host)
    if file.exists:
        assert (file.user, file.group, file.mode) == ("root", "root", 0o600)


def test_the_api_knows_every_host_with_its_version_and_address(host: Host) -> None:
    if not is_control_plane(host):
        return
    nodes = {node["metadata"]["name"]: node for node in api(host, "nodes")["items"]}
    assert set(nodes) == {"cloud1", "cloud2", "worker1"}
    for node in nodes.values():
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.33.5"
        ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "True"
    own = nodes[host.backend.get_hostname()]["status"]["addresses"]
    assert {"type": "InternalIP", "address": host.ansible.get_variables()["edgelab_node_ip"]} in own


def test_ordinary_pods_may_run_on_control_planes_that_were_asked_to(host: Host) -> None:
    if not is_control_plane(host):
        return
    for node in api(host, "nodes")["items"]:
        keys = [taint["key"] for taint in node["spec"].get("taints", [])]
        assert "node-role.kubernetes.io/control-plane" not in keys
        marked = "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
        assert marked == node["metadata"]["name"].startswith("cloud")


def test_one_control_plane_has_the_address_of_all(host: Host) -> None:
    # As group_vars say it.
    address = ".".join([*host.ansible.get_variables()["edgelab_node_ip"].split(".")[:3], "200"])
    assert host.addr(address).port(6443).is_reachable
    found = host.check_output(f"ip -oneline address show to {address}")
    assert bool(found) == (host.backend.get_hostname() == "cloud1")


def test_no_secret_of_a_join_was_on_a_command_line(host: Host) -> None:
    log = host.file("/var/log/standin-arguments.log")
    assert log.mode & 0o700
    lines = [json.loads(line) for line in log.content_string.splitlines()]
    assert any("init" in line or "join" in line for line in lines)
    said = " ".join(str(word) for line in lines for word in line)
    assert not TOKEN.search(said)
    assert not CERTIFICATE_KEY.search(said)


def test_no_secret_of_a_join_is_left(host: Host) -> None:
    names = set(host.file("/etc/edgelab/kubeadm").listdir())
    assert names <= {"init.yaml"}
    # Ansible's modules tell the journal what they were called with.
    journal = host.check_output("journalctl --boot --no-pager --output=cat")
    secrets = []
    if is_control_plane(host):
        for one in api(host, "secrets --namespace kube-system")["items"]:
            if one["type"] == "bootstrap.kubernetes.io/token":
                secrets.append(host.check_output(f"echo {one['data']['token-secret']} | base64 -d"))
        assert secrets
    assert not [secret for secret in secrets if secret in journal]


def test_keys_are_for_root_only(host: Host) -> None:
    loose = host.check_output("find /etc/kubernetes -name '*.key' -perm /077 -o -name '*.conf' -perm /077")
    assert loose == ""

"""After a backup, changes, and the restore on one control plane with the other joined again."""

from __future__ import annotations

import json

from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
ADMIN = "kubectl --kubeconfig /etc/edgelab/admin.kubeconfig"
BACKUP = "/var/lib/edgelab/backup/kubeadm"


def test_what_was_there_at_the_backup_is_back_and_the_rest_is_gone(host: Host) -> None:
    found = json.loads(host.check_output(f"{ADMIN} get configmaps --output json"))["items"]
    data = {one["metadata"]["name"]: one.get("data") for one in found}
    assert data["before"] == {"word": "servus"}
    assert "after" not in data


def test_every_node_is_there_and_ready(host: Host) -> None:
    host.check_output(f"{ADMIN} wait --for=condition=Ready node/cloud1 node/worker1 --timeout=60s")
    nodes = json.loads(host.check_output(f"{ADMIN} get nodes --output json"))["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"cloud1", "cloud2", "worker1"}


def test_both_are_control_planes(host: Host) -> None:
    for name in ("etcd", "kube-apiserver", "kube-vip"):
        assert host.file(f"/etc/kubernetes/manifests/{name}.yaml").exists


def test_only_root_reads_the_backup(host: Host) -> None:
    if host.backend.get_hostname() != "cloud1":
        return
    assert host.file(BACKUP).mode == 0o700
    for name in ("etcd.db", "kubernetes.tar"):
        assert host.file(f"{BACKUP}/{name}").mode == 0o600
    listed = host.check_output(f"tar --list --file {BACKUP}/kubernetes.tar").split()
    assert {"etc/kubernetes/pki/ca.key", "var/lib/kubelet/pki/kubelet-client-current.pem"} <= set(listed)


def test_the_data_that_was_replaced_is_kept(host: Host) -> None:
    if host.backend.get_hostname() == "cloud1":
        assert [name for name in host.file("/var/lib/etcd").listdir() if name.startswith("member.")]

"""The hosts after the reset, seen with other eyes than the role's."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://all"]
PATHS = (
    "/etc/kubernetes",
    "/etc/edgelab/kubeadm",
    "/etc/edgelab/admin.kubeconfig",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/etc/cni/net.d/10-stand-in.conflist",
    "/etc/apt/sources.list.d/kubernetes.sources",
    "/etc/apt/preferences.d/kubernetes.pref",
    "/etc/apt/keyrings/kubernetes.asc",
    "/etc/systemd/system/multi-user.target.wants/kubelet.service",
    "/var/lib/edgelab/images/etcd.tar",
    "/usr/bin/kubeadm",
    "/usr/bin/kubelet",
    "/usr/bin/crictl",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_file_is_left(host: Host, path: str) -> None:
    assert host.run(f"test -e {path} || test -L {path}").rc == 1


def test_no_package_is_left_or_held(host: Host) -> None:
    assert host.check_output("apt-mark showhold") == ""
    names = "kubeadm kubelet kubectl cri-tools kubernetes-cni"
    shown = host.run(f"dpkg-query --show --showformat='${{db:Status-Status}} ' {names}")
    assert "installed" not in shown.stdout.split()


def test_the_clusters_rules_are_gone_and_the_hosts_own_are_not(host: Host) -> None:
    rules = host.check_output("iptables-save")
    assert "KUBE-" not in rules
    assert "CNI-" not in rules
    assert '--comment "of the host"' in rules


def test_the_address_of_the_control_planes_is_given_up(host: Host) -> None:
    # As group_vars say it.
    address = ".".join([*host.ansible.get_variables()["edgelab_node_ip"].split(".")[:3], "200"])
    assert host.check_output(f"ip -oneline address show to {address}") == ""


def test_nothing_of_the_cluster_runs(host: Host) -> None:
    units = "'kubelet*' 'standin-static-*'"
    assert host.check_output(f"systemctl list-units --all --no-legend --plain {units}") == ""
    assert not host.socket("tcp://0.0.0.0:6443").is_listening

"""The hosts after a reset: seen with other eyes than the role's own verification."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://all"]
PATHS = (
    "/opt/edgelab",
    "/etc/kubeedge",
    "/etc/edgelab",
    "/var/lib/kubeedge",
    "/var/lib/edgesite",
    "/etc/cni/net.d/10-edgelab.conflist",
    "/usr/local/bin/keadm",
    "/etc/systemd/system/edgecore.service",
    "/etc/systemd/system/cloudcore.service",
    "/etc/systemd/system/edgemesh-agent.service",
    "/etc/systemd/system/edgecore.service.d/50-edgelab-memory.conf",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_file_is_left(host: Host, path: str) -> None:
    assert host.run(f"test -e {path} || test -L {path}").rc == 1


def test_no_daemon_runs(host: Host) -> None:
    running = set(host.check_output("ps -e -o comm=").split())
    assert not running & {"edgecore", "edgemesh-agent", "cloudcore", "edgesite", "nginx"}


def test_no_unit_is_known(host: Host) -> None:
    units = "'edgecore*' 'edgemesh*' 'edgesite*' 'cloudcore*' 'edgelab-twin*' 'edgelab-cpu*'"
    assert host.check_output(f"systemctl list-units --all --no-legend --plain {units}") == ""


def test_the_network_of_pods_is_gone(host: Host) -> None:
    links = host.check_output("ip -brief link")
    assert "edgelab0" not in links
    assert "edgemesh0" not in links


def test_names_of_the_cluster_are_gone(host: Host) -> None:
    assert "edgelab" not in host.file("/etc/hosts").content_string

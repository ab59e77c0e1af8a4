"""A mesh that was switched off has left nothing on its hosts."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge"]
FILES = (
    "/etc/systemd/system/edgemesh-agent.service",
    "/etc/default/edgemesh-agent",
    "/etc/kubeedge/config/edgemesh-agent.yaml",
)


@pytest.mark.parametrize("path", FILES)
def test_its_files_are_gone(host: Host, path: str) -> None:
    assert not host.file(path).exists


def test_what_it_put_on_the_host_is_gone(host: Host) -> None:
    assert "edgemesh0" not in host.check_output("ip -br link")
    assert "edgemesh" not in host.check_output("nft list tables")
    assert "169.254.96.16" not in host.file("/etc/resolv.conf").content_string
    assert host.run("systemctl is-active edgemesh-agent").stdout.strip() == "inactive"


def test_edgecore_goes_on(host: Host) -> None:
    assert host.service("edgecore").is_running

"""edgemesh-agent.yaml: KubeEdge's file is taken, and what is wrong is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgelab.edgemesh.settings import PROGRAM, Settings, validate
from edgelab.settings.commandline import checked
from edgelab.settings.document import ConfigError, parse

KUBEEDGE = """\
apiVersion: agent.edgemesh.config.kubeedge.io/v1alpha1
kind: EdgeMeshAgent
kubeAPIConfig: {master: "http://127.0.0.1:10550", kubeConfig: ""}
commonConfig: {bridgeDevice: {bridgeDeviceName: edgemesh0, bridgeDeviceIP: 169.254.96.16}}
modules:
  edgeDNS:
    enable: true
    listenPort: 53
    cacheDNS: {enable: true, autoDetect: true, upstreamServers: [10.0.0.1]}
  edgeProxy:
    enable: true
    socks5Proxy: {enable: false, listenPort: 10800}
    serviceFilterMode: FilterIfLabelDoesNotExists
    loadBalancer: {consistentHash: {partitionCount: 100, replicationFactor: 10, load: 1.25}}
  edgeTunnel: {enable: false, listenPort: 20006, relayNodes: [{nodeName: hub, advertiseAddress: [1.2.3.4]}],
               psk: {enable: true, path: /etc/edgemesh/psk}}
  edgeCNI: {enable: false}
"""


def test_a_file_for_kubeedges_agent_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "edgemesh-agent.yaml"
    file.write_text(KUBEEDGE)
    settings = checked(PROGRAM, file, strict=True).settings
    assert settings.modules.edgeProxy.serviceFilterMode == "FilterIfLabelDoesNotExists"
    assert settings.modules.edgeDNS.cacheDNS.upstreamServers == ["10.0.0.1"]


def test_defaults_are_right() -> None:
    assert validate(Settings()) == []


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("kubeAPIConfig: {master: 'https://1.2.3.4:6443'}", "kubeAPIConfig.master"),
        ("kubeAPIConfig: {kubeConfig: kube.conf}", "kubeAPIConfig.kubeConfig"),
        (
            "commonConfig: {bridgeDevice: {bridgeDeviceName: much-too-long-a-name}}",
            "commonConfig.bridgeDevice.bridgeDeviceName",
        ),
        (
            "commonConfig: {bridgeDevice: {bridgeDeviceIP: 'fe80::1'}}",
            "commonConfig.bridgeDevice.bridgeDeviceIP",
        ),
        ("modules: {edgeDNS: {listenPort: 0}}", "modules.edgeDNS.listenPort"),
        (
            "modules: {edgeDNS: {cacheDNS: {upstreamServers: [dns.example]}}}",
            "modules.edgeDNS.cacheDNS.upstreamServers[0]",
        ),
        ("modules: {edgeProxy: {serviceFilterMode: All}}", "modules.edgeProxy.serviceFilterMode"),
        ("modules: {edgeProxy: {socks5Proxy: {enable: true}}}", "modules.edgeProxy.socks5Proxy.enable"),
        ("modules: {edgeCNI: {enable: true}}", "modules.edgeCNI.enable"),
        ("edgelab: {clusterDomain: 'a b'}", "edgelab.clusterDomain"),
        ("edgelab: {nodeName: Edge_1}", "edgelab.nodeName"),
        (
            "modules: {edgeTunnel: {enable: true}}\nedgelab: {tunnel: {server: cloud}}",
            "edgelab.tunnel.server",
        ),
        (
            "modules: {edgeTunnel: {enable: true}}\nedgelab: {tunnel: {tlsCertFile: crt}}",
            "edgelab.tunnel.tlsCertFile",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_field(text: str, field: str) -> None:
    assert [problem.field for problem in validate(parse(text, Settings()).settings)] == [field]


def test_a_misspelt_field_is_an_error_of_check_config(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("modules: {edgeDNS: {listenport: 53, ports: 1}}\n")
    with pytest.raises(ConfigError, match=r"modules\.edgeDNS\.ports: unknown field"):
        checked(PROGRAM, file, strict=True)


def test_to_check_a_file_loads_no_network() -> None:
    code = (
        "import sys, edgelab.edgemesh.__main__\n"
        "sys.exit(any(name in sys.modules for name in ('edgelab.edgemesh.app', 'edgelab.kube', 'aiohttp')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_agent_loads_nothing_heavy() -> None:
    code = (
        "import sys, edgelab.edgemesh.app, edgelab.edgemesh.dns.server, edgelab.edgemesh.steering\n"
        "import edgelab.kube.light\n"
        "heavy = ('aiohttp', 'cryptography', 'h11', 'hashlib', 'google')\n"
        "found = [name for name in heavy if name in sys.modules]\n"
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

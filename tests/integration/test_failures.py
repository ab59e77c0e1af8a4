"""What goes wrong in the field ends in one line that names the cause: no traceback, exit status not 0.

Each case runs the installed programs on the lab's edge host with files of their own, beside the
daemons that stay as they are.
"""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.integration.lab import Lab

PROGRAMS = "/opt/edgelab/current/bin"
TRY = "/tmp/edgelab-failure"
CONFIG = """
modules:
  edged: {{enable: {edged}, hostnameOverride: {name}, nodeIP: {ip}, rootDirectory: {dir}/kubelet,
          tailoredKubeletConfig: {{readOnlyPort: {port}, containerRuntimeEndpoint: "{runtime}"}}}}
  edgeHub:
    tlsCaFile: {dir}/ca.crt
    tlsCertFile: {dir}/server.crt
    tlsPrivateKeyFile: {dir}/server.key
    token: {token}
    httpServer: https://{cloud}:10002
    websocket: {{server: "{cloud}:10000"}}
  eventBus: {{enable: false}}
  deviceTwin: {{enable: false}}
database: {{dataSource: {dir}/edgecore.db}}
"""


@pytest.fixture
def token(lab: Lab) -> str:
    """A good join token."""
    return lab.host(
        "cloud", f"{PROGRAMS}/keadm", "gettoken", "--kube-config", "/etc/edgelab/admin.kubeconfig"
    ).strip()


def start(lab: Lab, *wrapper: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Start a second edgecore on edge1 with its own files and wait for its end."""
    values = {
        "dir": TRY,
        "name": "edge-failing",
        "ip": lab.info["nodes"]["edge1"],
        "cloud": lab.info["nodes"]["cloud"],
        "edged": "false",
        "port": "10399",
        "runtime": "unix:///run/containerd/containerd.sock",
        "token": "x",
    } | changes
    script = f"rm -rf {TRY} && mkdir -p {TRY} && cat > {TRY}/edgecore.yaml"
    lab.run("scripts/lab", "exec", "edge1", "--", "sh", "-c", script, stdin=CONFIG.format(**values))
    command = ["timeout", "40", f"{PROGRAMS}/edgecore", "--config", f"{TRY}/edgecore.yaml"]
    return lab.run("scripts/lab", "exec", "edge1", "--", *wrapper, *command, check=False)


def one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The program failed by itself, and its last line names the cause."""
    text = done.stdout + done.stderr
    assert done.returncode not in (0, 124), text
    assert "Traceback" not in text
    last = text.strip().splitlines()[-1]
    assert last.startswith("edgecore: "), text
    for word in words:
        assert word.lower() in last.lower(), text


def test_a_wrong_token(lab: Lab, token: str) -> None:
    ca_hash, header, payload, _ = token.split(".")
    one_clear_line(start(lab, token=f"{ca_hash}.{header}.{payload}.AAAA"), "token")


def test_a_token_of_another_cluster(lab: Lab, token: str) -> None:
    _, rest = token.split(".", 1)
    one_clear_line(start(lab, token=f"{'0' * 64}.{rest}"), "CA", "hash")


@pytest.mark.parametrize(("shift", "words"), [("-2d", ("clock", "not yet valid"))])
def test_a_clock_that_is_off(lab: Lab, token: str, shift: str, words: tuple[str, ...]) -> None:
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
    done = start(lab, "env", f"LD_PRELOAD={library}", f"FAKETIME={shift}", token=token)
    one_clear_line(done, *words)


def test_a_port_that_is_taken(lab: Lab, token: str) -> None:
    one_clear_line(start(lab, token=token, edged="true", port="10350"), "10350")


def test_no_containerd(lab: Lab, token: str) -> None:
    runtime = "unix:///run/no-such/containerd.sock"
    one_clear_line(start(lab, token=token, edged="true", runtime=runtime), "/run/no-such/containerd.sock")


def test_a_malformed_configuration(lab: Lab) -> None:
    one_clear_line(start(lab, port="many"), "readOnlyPort")


def test_cloudcore_names_the_port_that_is_taken(lab: Lab) -> None:
    done = lab.run(
        "scripts/lab",
        "exec",
        "cloud",
        "--",
        "timeout",
        "40",
        f"{PROGRAMS}/cloudcore",
        "--config",
        "/etc/kubeedge/config/cloudcore.yaml",
        check=False,
    )
    assert done.returncode not in (0, 124)
    assert "Traceback" not in done.stderr
    assert "1000" in done.stderr.strip().splitlines()[-1]


def test_the_node_of_the_lab_is_untouched(lab: Lab) -> None:
    assert lab.node_ready("edge1")
    names = {
        node["metadata"]["name"] for node in json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    }
    assert names == {"edge1"}

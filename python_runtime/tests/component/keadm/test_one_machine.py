"""keadm alone makes a cloud and an edge of one machine: real daemons, units played by processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from tests.component.edged import containerd as private
from tests.component.edged.containerd import Containerd
from tests.edgecore.processes import free_port
from tests.keadm.host import Host, Units
from tests.keadm.sandboxes import serve
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app

BIN = Path(sys.executable).parent
CONFIG = "etc/kubeedge/config"
CGROUP = f"/edgelab-keadm-{os.getpid()}"


class Processes(Units):
    """Units that are real processes of the real programs, with the configuration that keadm wrote."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def active(self, unit: str) -> bool:
        return unit in self.children and self.children[unit].poll() is None

    def do(self, verb: str, unit: str = "") -> None:
        super().do(verb, unit)
        if verb in ("stop", "restart"):
            self.stop(unit)
        if verb in ("start", "restart"):
            config = self.root / CONFIG / f"{unit}.yaml"
            log = (self.root / f"{unit}.log").open("ab")
            self.children[unit] = subprocess.Popen(
                [BIN / unit, "--config", config], stdout=log, stderr=subprocess.STDOUT
            )
            log.close()

    def stop(self, unit: str) -> None:
        child = self.children.pop(unit, None)
        if child is not None:
            child.terminate()
            child.wait(20)


@pytest.fixture(scope="module", autouse=True)
def one_command_tree() -> Iterator[None]:
    """CliRunner makes all commands anew for each call, which takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command), raising=False)
        yield


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    root = tmp_path / "root"
    (root / "run").mkdir(parents=True)
    units = Processes(root)
    host = Host(root, units)
    monkeypatch.setattr("edgelab.keadm.machine.this", lambda: host)
    yield host
    for unit in list(units.children):
        units.stop(unit)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "admin.kubeconfig"
    words = ["--data-dir", tmp_path / "site", "--listen", "127.0.0.1:0", "--write-kubeconfig", path]
    site = subprocess.Popen(
        [BIN / "edgesite", "server", *words, "--advertise-address", "127.0.0.1"], stderr=subprocess.DEVNULL
    )
    until(lambda: path.exists() and keadm("node", "get", "--name", "x", "--kube-config", path)[0] == 0)
    yield path
    site.terminate()
    site.wait(20)


def keadm(*words: object, stdin: str = "") -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, [*map(str, words), "--output", "json"], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def until(done: Callable[[], bool], seconds: float = 60, log: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, log.read_text()[-3000:] if log else "too late"
        time.sleep(0.1)


def dotted(**settings: object) -> list[str]:
    return [
        word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")
    ]


def test_init_gettoken_join_debug_and_reset(host: Host, kubeconfig: Path) -> None:
    ports = {name: free_port() for name in ("hub", "https", "monitor", "local", "tunnel", "first")}
    init = ["init", "--kube-config", kubeconfig, "--advertise-address", "127.0.0.1"]
    init += dotted(
        commonConfig__monitorServer__bindAddress=f"127.0.0.1:{ports['monitor']}",
        modules__cloudHub__websocket__port=ports["hub"],
        modules__cloudHub__https__port=ports["https"],
        modules__cloudHub__unixsocket__enable="false",
        modules__cloudStream__tunnelPort=ports["tunnel"],
        edgelab__stream__firstPort=ports["first"],
        edgelab__stream__lastPort=min(65535, ports["first"] + 100),
    )
    status, answer = keadm(*init)
    assert status == 0, answer
    assert keadm(*init)[1]["changed"] is False

    until(lambda: keadm("gettoken", "--kube-config", kubeconfig)[0] == 0)
    token = keadm("gettoken", "--kube-config", kubeconfig)[1]["token"]
    etc, var = host.path("/etc/kubeedge"), host.path("/var/lib")
    join = ["join", "-e", f"127.0.0.1:{ports['hub']}", "-s", ports["https"], "-i", "edge1"]
    join += ["-p", "unix:///run/c.sock", "--cgroupdriver", "cgroupfs", "--certPath", etc / "certs"]
    kubelet = "modules.edged.tailoredKubeletConfig"
    runtime = host.path("/run/c.sock")
    join += dotted(
        edgelab__bootstrapFile=etc / "bootstrap-edgecore.conf",
        database__dataSource=var / "kubeedge" / "edgecore.db",
        modules__edgeHub__tlsCaFile=etc / "ca" / "rootCA.crt",
        modules__edgeStream__server=f"127.0.0.1:{ports['tunnel']}",
        modules__eventBus__enable="false",
        modules__deviceTwin__enable="false",
        modules__edged__rootDirectory=var / "kubelet",
        **{
            f"{kubelet}.readOnlyPort": ports["local"],
            f"{kubelet}.staticPodPath": etc / "manifests",
            f"{kubelet}.podLogsDir": host.path("/var/log/pods"),
            f"{kubelet}.containerRuntimeEndpoint": f"unix://{runtime}",
            f"{kubelet}.imageServiceEndpoint": f"unix://{runtime}",
        },
    )
    with serve(runtime) as sandboxes:
        status, answer = keadm(*join, stdin=token)
        assert status == 0, (answer, host.path("/edgecore.log").read_text()[-3000:])
        assert not (etc / "bootstrap-edgecore.conf").exists()
        get = ("node", "get", "--name", "edge1", "--kube-config", kubeconfig)
        until(lambda: keadm(*get)[1]["exists"], log=host.path("/edgecore.log"))
        status, answer = keadm(*join)
        assert (status, answer["changed"]) == (0, False), answer

        spec = {"nodeName": "edge1", "containers": [{"name": "c", "image": "none"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
        assert keadm("apply", "-f", "-", "--kube-config", kubeconfig, stdin=json.dumps(pod))[0] == 0
        until(lambda: bool(pods()))
        assert pods() == ["web"]
        assert CliRunner().invoke(app, ["debug", "get", "node"]).stdout.splitlines()[1].startswith("edge1 ")
        _, found = keadm("debug", "check", "network")
        assert [one["status"] for one in found["checks"]] == ["ok", "ok", "ok"], "the tunnel's port is one"
        status, archive = keadm("debug", "collect", "--output-path", host.path("/out"))
        assert (status, "edgecore/database" in archive["members"]) == (0, True)

        assert keadm("reset", "--force", "--kube-config", kubeconfig, "-p", "unix:///run/c.sock")[0] == 0
        assert list(sandboxes.there) == ["hand"]
    assert not host.units.running
    assert not etc.exists()
    assert not (var / "kubeedge").exists()
    left = {name for name in host.files() if not name.endswith(".log") and not name.startswith("out/")}
    assert left == set()


@pytest.fixture
def containerd() -> Iterator[Containerd]:
    if missing := private.available():
        pytest.fail(f"component tests of keadm: {missing}")
    with private.running("keadm-test-", CGROUP) as daemon:
        yield daemon


def kubectl(kubeconfig: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    call = [str(BIN / "kubectl"), "--kubeconfig", str(kubeconfig), *words]
    return subprocess.run(call, input=stdin, capture_output=True, text=True, check=False, timeout=90)


def test_logs_and_commands_work_after_init_and_join(
    host: Host, containerd: Containerd, kubeconfig: Path
) -> None:
    """Nothing is said about streams but ports that are free."""
    ports = {name: free_port() for name in ("hub", "https", "monitor", "local", "tunnel", "first")}
    init = ["init", "--kube-config", kubeconfig, "--advertise-address", "127.0.0.1"]
    init += dotted(
        commonConfig__monitorServer__bindAddress=f"127.0.0.1:{ports['monitor']}",
        modules__cloudHub__websocket__port=ports["hub"],
        modules__cloudHub__https__port=ports["https"],
        modules__cloudHub__unixsocket__enable="false",
        modules__cloudStream__tunnelPort=ports["tunnel"],
        edgelab__stream__firstPort=ports["first"],
        edgelab__stream__lastPort=min(65535, ports["first"] + 100),
    )
    status, answer = keadm(*init)
    assert status == 0, answer
    until(lambda: keadm("gettoken", "--kube-config", kubeconfig)[0] == 0)
    token = keadm("gettoken", "--kube-config", kubeconfig)[1]["token"]
    etc = host.path("/etc/kubeedge")
    host.path("/run/c.sock").symlink_to(containerd.socket)
    join = ["join", "-e", f"127.0.0.1:{ports['hub']}", "-s", ports["https"], "-i", "edge1"]
    join += ["-p", "unix:///run/c.sock", "--cgroupdriver", "cgroupfs", "--certPath", etc / "certs"]
    kubelet = "modules.edged.tailoredKubeletConfig"
    join += dotted(
        edgelab__bootstrapFile=etc / "bootstrap-edgecore.conf",
        database__dataSource=host.path("/var/lib/kubeedge/edgecore.db"),
        modules__edgeHub__tlsCaFile=etc / "ca" / "rootCA.crt",
        modules__edgeStream__server=f"127.0.0.1:{ports['tunnel']}",
        modules__eventBus__enable="false",
        modules__deviceTwin__enable="false",
        modules__edged__rootDirectory=host.path("/var/lib/kubelet"),
        modules__edged__podSandboxImage=private.REFERENCES["pause"],
        **{
            f"{kubelet}.readOnlyPort": ports["local"],
            f"{kubelet}.staticPodPath": etc / "manifests",
            f"{kubelet}.podLogsDir": host.path("/var/log/pods"),
            f"{kubelet}.cgroupRoot": CGROUP,
            f"{kubelet}.containerRuntimeEndpoint": containerd.endpoint,
            f"{kubelet}.imageServiceEndpoint": containerd.endpoint,
        },
    )
    status, answer = keadm(*join, stdin=token)
    assert status == 0, (answer, host.path("/edgecore.log").read_text()[-3000:])
    assert not [warning for warning in answer["warnings"] if "edgeStream" in warning]
    container = {
        "name": "main",
        "image": private.REFERENCES["busybox"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "echo from the edge; sleep 3600"],
    }
    spec = {"nodeName": "edge1", "containers": [container], "terminationGracePeriodSeconds": 1}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
    until(lambda: kubectl(kubeconfig, "apply", "-f", "-", stdin=json.dumps(pod)).returncode == 0)
    ready = kubectl(kubeconfig, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    assert ready.returncode == 0, (ready.stderr, host.path("/edgecore.log").read_text()[-3000:])
    until(lambda: kubectl(kubeconfig, "logs", "web").returncode == 0, log=host.path("/cloudcore.log"))
    assert kubectl(kubeconfig, "logs", "web").stdout == "from the edge\n"
    done = kubectl(kubeconfig, "exec", "web", "--", "sh", "-c", "echo hi; exit 3")
    assert (done.stdout, done.stderr) == ("hi\n", "command terminated with exit code 3\n")


def pods() -> list[str]:
    done = CliRunner().invoke(app, ["debug", "get", "pod", "-o", "json"])
    return [item["metadata"]["name"] for item in json.loads(done.stdout)["items"]]

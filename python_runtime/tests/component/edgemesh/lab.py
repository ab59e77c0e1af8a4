"""A whole node with the mesh: EdgeSite, CloudCore, EdgeCore with containerd, edgemesh-agent."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.component.edged import containerd as private
from tests.component.edged.conftest import cgroup_root
from tests.component.metaserver.lab import BIN, EdgeNode, Lab, Process, TunnelLab

from edgelab.edgemesh.hostnames import RESOLV_CONF

MESH_IP = "169.254.96.16"
NODE_IP = "10.99.0.1"
URL = "http://nginx-svc.default.svc.cluster.local:18050"
MS_BIND = 0x1000
SERVING = "ports of Services"
UPSTREAM = "nameserver 192.0.2.53\noptions timeout:1 attempts:1\n"
"""What resolv.conf says before the mesh comes."""


def sh(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or not check, f"{words}: {done.stderr}"
    return done.stdout


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Rss")


def until(check: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


class WholeNode(EdgeNode):
    """An EdgeNode that runs pods, whose names are the mesh's."""

    def __init__(self, lab: Lab, directory: Path, endpoint: str) -> None:
        super().__init__(lab, directory)
        config = directory / "edgecore.yaml"
        settings = yaml.safe_load(config.read_text())
        settings["modules"]["deviceTwin"] = {"enable": True, "dmiSockPath": str(directory / "dmi.sock")}
        settings["modules"]["edged"] = {
            "hostnameOverride": self.name,
            "nodeIP": NODE_IP,
            "rootDirectory": str(directory / "kubelet"),
            "podSandboxImage": private.REFERENCES["pause"],
            "tailoredKubeletConfig": {
                "containerRuntimeEndpoint": endpoint,
                "imageServiceEndpoint": endpoint,
                "podLogsDir": str(directory / "logs"),
                "cgroupRoot": cgroup_root(),
                "readOnlyPort": 0,
                "staticPodPath": "",
                "clusterDNS": [MESH_IP],
                "clusterDomain": "cluster.local",
            },
        }
        config.write_text(yaml.safe_dump(settings))


class MeshLab(TunnelLab):
    """`node` is EdgeCore, `mesh` the agent; in a network of their own."""

    def __init__(self, directory: Path, runtime: private.Containerd) -> None:
        super().__init__(directory)
        self.runtime = runtime

    def begin(self) -> None:
        """Everything but the mesh."""
        self.start()
        self.node = WholeNode(self, self.directory / "edge1", self.runtime.endpoint)
        self.node.core.start()
        self.config = self.write_mesh(self.node, "127.0.0.1")
        command = (BIN / "edgemesh-agent", "--config", self.config)
        self.mesh = Process("mesh", self.directory, *command, serving=SERVING)

    def write_mesh(self, node: EdgeNode, cloud: str, **own: Any) -> Path:
        """The configuration of the node's agent, which finds CloudCore at `cloud`."""
        files = {field: str(node.directory / field) for field in ("ca", "crt", "key")}
        tunnel = {
            "server": f"{cloud}:{self.tunnels}",
            "tlsCaFile": files["ca"],
            "tlsCertFile": files["crt"],
            "tlsPrivateKeyFile": files["key"],
        }
        settings = {
            "kubeAPIConfig": {"master": node.url},
            "modules": {"edgeTunnel": {"enable": True}},
            "edgelab": {"nodeName": node.name, "tunnel": tunnel, **own},
        }
        config = node.directory / "edgemesh-agent.yaml"
        config.write_text(yaml.safe_dump(settings))
        return config

    def _settings(self, hub: dict[str, Any]) -> dict[str, Any]:
        """Other nodes come by the bridge."""
        places = {"websocket": self.nodes, "https": self.https}
        listeners = {name: {"address": "0.0.0.0", "port": port} for name, port in places.items()}
        return super()._settings({"advertiseAddress": ["127.0.0.1", NODE_IP], **listeners, **hub})

    def finish(self) -> None:
        self.mesh.stop()
        self.node.core.stop()
        self.stop()

    def kubectl(self, *words: str, text: str = "") -> str:
        command = [BIN / "kubectl", "--kubeconfig", self.kubeconfig, *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def ready(self, pod: str) -> None:
        path = "{.status.conditions[?(@.type=='Ready')].status}"
        until(lambda: self.kubectl("get", "pod", pod, "-o", f"jsonpath={path}") == "True", f"{pod} is ready")

    def in_pod(self, pod: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A program inside a pod's container."""
        crictl = ["ctr", "--address", str(self.runtime.socket), "-n", "k8s.io"]
        listed = sh(*crictl, "containers", "ls", f"labels.io.kubernetes.pod.name=={pod}", "-q").split()
        for container in listed:
            task = [*crictl, "tasks", "exec", "--exec-id", f"t{time.monotonic_ns()}", container, *words]
            done = subprocess.run(task, capture_output=True, text=True, check=False, timeout=60)
            if "not found" not in done.stderr or len(listed) == 1:
                if "executable file not found" in done.stderr:
                    continue  # that of the sandbox
                return done
        raise AssertionError(f"{pod} has no container")


def pod(name: str, app: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
        "spec": {
            "nodeName": "edge1",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "imagePullPolicy": "IfNotPresent", **container}],
            **spec,
        },
    }


def service(name: str, app: str, ports: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": app}, "ports": ports, **spec},
    }


def busybox(*command: str) -> dict[str, Any]:
    return {"image": private.REFERENCES["busybox"], "command": list(command)}


NGINX = {
    "image": private.REFERENCES["nginx"],
    "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
}


@contextmanager
def network(directory: Path) -> Iterator[private.Containerd]:
    """A network with a containerd, and a resolv.conf that nobody else reads."""
    missing = private.available()
    assert not missing, missing
    archives = private.images()
    base = Path(tempfile.mkdtemp(prefix="mesh-test-", dir="/var/tmp"))
    resolv_conf = directory / "resolv.conf"
    resolv_conf.write_text(UPSTREAM)
    with private.own_namespaces():
        private.call("mount", str(resolv_conf).encode(), str(RESOLV_CONF).encode(), None, MS_BIND, None)
        sh("ip", "link", "add", "net0", "type", "bridge")
        sh("ip", "addr", "add", f"{NODE_IP}/24", "dev", "net0")
        sh("ip", "link", "set", "net0", "up")
        runtime = private.Containerd(base)
        runtime.start()
        try:
            runtime.load(archives)
            yield runtime
        finally:
            runtime.stop()
            private.call("umount2", str(RESOLV_CONF).encode(), 0)
    private.remove_cgroups(cgroup_root())
    shutil.rmtree(base, ignore_errors=True)


async def curl(url: str, *words: str) -> str:
    """The body, by the host's own resolver; empty when it fails."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail", "--max-time", "5", *words, url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode() if process.returncode == 0 else ""

"""EdgeSite, CloudCore with CloudStream, and EdgeCore with EdgeStream on a containerd; kubectl on top."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import yaml
from tests.component.docker.dockerd import Dockerd
from tests.component.edged import containerd as private
from tests.component.edged.containerd import Containerd
from tests.component.metaserver.lab import BIN, Process, TunnelLab, free_port, wait_until

Obj = dict[str, Any]
NODE = "edge1"


class StreamLab(TunnelLab):
    """The cloud's side, with its tunnels, and kubectl."""

    async def kubectl(self, *words: str, stdin: bytes = b"", fails: bool = False) -> str:
        """What kubectl prints; it has to succeed, or with `fails` to fail."""
        process = await self.start_kubectl(*words)
        try:
            output, _ = await asyncio.wait_for(process.communicate(stdin), 60)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert (process.returncode != 0) is fails, output.decode(errors="replace")
        return output.decode(errors="surrogateescape")

    async def start_kubectl(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(BIN / "kubectl"),
            *("--kubeconfig", str(self.kubeconfig), *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "HOME": str(self.directory)},
        )

    async def apply(self, pod: Obj) -> None:
        await self.kubectl("apply", "-f", "-", stdin=json.dumps(pod).encode())
        name = pod["metadata"]["name"]
        await self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=50s")

    async def node(self) -> Obj:
        found: Obj = json.loads(await self.kubectl("get", "node", NODE, "-o", "json"))
        return found

    async def published(self) -> tuple[str, int]:
        """Address and port that the Node tells API servers."""
        status = (await self.node())["status"]
        addresses = {item["type"]: item["address"] for item in status["addresses"]}
        return addresses.get("InternalDNS", ""), status["daemonEndpoints"]["kubeletEndpoint"]["Port"]


class StreamNode:
    """EdgeCore with pods and a tunnel."""

    def __init__(self, lab: StreamLab, directory: Path, runtime: Containerd | Dockerd, cgroup: str) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        files = {field: str(directory / field) for field in ("ca", "crt", "key")}
        self.readonly = free_port()
        self.config = directory / "edgecore.yaml"
        settings = {
            "database": {"dataSource": str(directory / "edgecore.db")},
            "edgelab": {"bootstrapFile": str(directory / "bootstrap.conf"), "reconnectCap": "2s"},
            "modules": {
                "edged": {
                    "hostnameOverride": NODE,
                    "nodeIP": "127.0.0.1",
                    "podSandboxImage": private.REFERENCES["pause"],
                    "rootDirectory": str(directory / "kubelet"),
                    "tailoredKubeletConfig": {
                        "readOnlyPort": self.readonly,
                        "staticPodPath": "",
                        "podLogsDir": str(directory / "logs"),
                        "cgroupRoot": cgroup,
                        "containerRuntimeEndpoint": runtime.endpoint,
                        "imageServiceEndpoint": runtime.endpoint,
                    },
                },
                "eventBus": {"enable": False},
                "deviceTwin": {"enable": False},
                "metaManager": {"metaServer": {"enable": True, "server": f"127.0.0.1:{free_port()}"}},
                "edgeHub": {
                    "httpServer": f"https://127.0.0.1:{lab.https}",
                    "tlsCaFile": files["ca"],
                    "tlsCertFile": files["crt"],
                    "tlsPrivateKeyFile": files["key"],
                    "websocket": {"server": f"127.0.0.1:{lab.nodes}"},
                },
                "edgeStream": {
                    "enable": True,
                    "tlsTunnelCAFile": files["ca"],
                    "tlsTunnelCertFile": files["crt"],
                    "tlsTunnelPrivateKeyFile": files["key"],
                    "server": f"127.0.0.1:{lab.tunnels}",
                },
            },
        }
        self.config.write_text(yaml.safe_dump(settings))
        (directory / "bootstrap.conf").write_text(lab.keadm("gettoken") + "\n")
        os.environ["CHECK_EDGECORE_ENVIRONMENT"] = "false"
        self.core = Process(
            "edgecore",
            directory,
            BIN / "edgecore",
            "--config",
            self.config,
            serving="the tunnel to CloudStream",
        )


def sleeper(name: str, script: str = "sleep 3600", **container: Any) -> Obj:
    """A pod with one container named `main`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": private.REFERENCES["busybox"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", script],
                    **container,
                }
            ],
        },
    }


__all__ = ["NODE", "StreamLab", "StreamNode", "sleeper", "wait_until"]

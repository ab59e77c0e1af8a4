"""A whole node for benchmarks: EdgeCore as it is installed, on a private containerd, joined to a CloudCore.

containerd, its images and its namespaces are those of the component tests; Mosquitto stands by for devices.
KubeEdge's own EdgeCore is measured in the same run when EDGELAB_BENCH_EDGECORE names its program.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from benchmarks.cloudcore import OURS as CLOUDCORE
from benchmarks.cloudcore import Cloud, cloud
from benchmarks.edgesite import free_port
from benchmarks.installed import Installed, install
from benchmarks.processes import Usage
from benchmarks.wire import Connection
from tests.component.edged import containerd as private
from tests.edgecore.processes import mosquitto

OURS = "EdgeCore"
PEER = os.environ.get("EDGELAB_BENCH_EDGECORE", "")
NODE = "bench-edge"
LABEL = "node-role.kubernetes.io/edge"
KIND = {"apiVersion": "edgecore.config.kubeedge.io/v1alpha2", "kind": "EdgeCore"}
CGROUPS = f"/edgelab-bench-{os.getpid()}"
NETWORK = (
    "link add bench0 type bridge",
    "address add 10.255.255.1/24 dev bench0",
    "link set bench0 up",
    "route add default via 10.255.255.254",
)
LOOK = 0.003
"""Seconds between two looks at the API or the store: how exact a time is."""
PATIENCE = 120.0


class Node:
    """The node, and the ways to look at it from both sides."""

    def __init__(
        self,
        made: Cloud,
        connection: Connection,
        base: Path,
        endpoint: str,
        *,
        broker: int,
        installed: Installed | None,
    ) -> None:
        self.cloud = made
        self.api = connection
        self.installed = installed
        self.broker = broker
        self._base = base
        self._endpoint = endpoint
        self._process: asyncio.subprocess.Process | None = None

    def usage(self) -> Usage:
        """Memory and CPU of EdgeCore."""
        assert self._process is not None
        return Usage(self._process.pid)

    async def start(self) -> float:
        """Start EdgeCore; seconds until the API shows a lease, or at first a Ready, that is newer."""
        lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"
        before = (await self.find(lease) or {}).get("spec", {}).get("renewTime", "")
        config = await self._settings()
        command, environment = self._program()
        began = time.perf_counter()
        with (self._base / "edgecore.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, "--config", config, env=environment, stdout=log, stderr=log
            )

        async def ready() -> bool:
            node = await self.find(f"/api/v1/nodes/{NODE}") or {}
            conditions = (node.get("status") or {}).get("conditions") or []
            is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            renewed = (await self.find(lease) or {}).get("spec", {}).get("renewTime", "")
            return is_ready and renewed > before

        await self.until(ready)
        return time.perf_counter() - began

    async def stop(self) -> None:
        """End EdgeCore; containers go on."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def find(self, path: str) -> dict[str, Any] | None:
        """An object, or None when it is not there."""
        try:
            found: dict[str, Any] = await self.api.call("GET", path)
        except RuntimeError:
            return None
        return found

    @property
    def database(self) -> Path:
        """EdgeCore's SQLite file."""
        return self._base / "edgecore.db"

    def stored(self, key: str) -> str:
        """What EdgeCore's database has under `namespace/kind/name`."""
        uri = f"file:{self.database}?mode=ro"
        with sqlite3.connect(uri, uri=True) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    async def until(self, check: Callable[[], Any]) -> None:
        """Look until it is true; `check` may be a coroutine function."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = check()
                if await found if asyncio.iscoroutine(found) else found:
                    return
                await asyncio.sleep(LOOK)

    def _program(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """The command and its environment; KubeEdge's where nothing of ours is installed."""
        if self.installed is None:
            for hierarchy in Path("/sys/fs/cgroup").iterdir():  # KubeEdge's wants them to be there
                if hierarchy.is_dir():
                    (hierarchy / CGROUPS.strip("/")).mkdir(exist_ok=True)
            return (PEER,), {**os.environ, "CHECK_EDGECORE_ENVIRONMENT": "false"}
        return (str(self.installed.python), "-P", "-m", "edgelab.edgecore"), self.installed.environment()

    async def _settings(self) -> str:
        secret = await self.api.call("GET", "/api/v1/namespaces/kubeedge/secrets/tokensecret")
        token = base64.b64decode(secret["data"]["tokendata"]).decode()
        kubelet = {
            "containerRuntimeEndpoint": self._endpoint,
            "imageServiceEndpoint": self._endpoint,
            "cgroupRoot": CGROUPS,
            "podLogsDir": str(self._base / "logs"),
            "readOnlyPort": free_port(),
        }
        edged = {
            "hostnameOverride": NODE,
            "nodeIP": "127.0.0.1",
            "rootDirectory": str(self._base / "kubelet"),
        }
        hub = {
            "token": token,
            "httpServer": f"https://127.0.0.1:{self.cloud.https}",
            "websocket": {"server": self.cloud.address},
            "tlsCaFile": str(self._base / "pki" / "ca.crt"),
            "tlsCertFile": str(self._base / "pki" / "edge.crt"),
            "tlsPrivateKeyFile": str(self._base / "pki" / "edge.key"),
        }
        bus = {"enable": True, "mqttMode": 2, "mqttServerExternal": f"tcp://127.0.0.1:{self.broker}"}
        document = {
            "database": {"dataSource": str(self.database)},
            "modules": {
                "edged": {**edged, "tailoredKubeletConfig": kubelet},
                "edgeHub": hub,
                "eventBus": bus,
                "deviceTwin": {"dmiSockPath": str(self._base / "dmi.sock")},
            },
        }
        path = self._base / "edgecore.yaml"
        path.touch(0o600)
        path.write_text(yaml.safe_dump({**KIND, **document}))
        return str(path)


def contenders() -> list[str]:
    """Names of the EdgeCores to measure; ours first."""
    return [OURS, *(["KubeEdge's EdgeCore"] if PEER else [])]


@asynccontextmanager
async def node(name: str = OURS, under: str = CLOUDCORE) -> AsyncIterator[Node]:
    """All of it, in namespaces of its own. Raises RuntimeError when containerd cannot be run here."""
    if missing := private.available():
        raise RuntimeError(missing)
    archives = private.images()
    base = Path(tempfile.mkdtemp(prefix="edgelab-bench-", dir="/var/tmp"))
    installed = await install(base) if name == OURS else None
    with private.own_namespaces():
        daemon = private.Containerd(base)
        daemon.start()
        try:
            daemon.load(archives)
            if under != CLOUDCORE:  # KubeEdge's refuses nodes on a machine without a default route
                for command in NETWORK:
                    subprocess.run(["ip", *command.split()], check=True)
            async with cloud(under) as made, mosquitto(base) as broker:
                connection = await Connection.open(made.site.target)
                found = Node(made, connection, base, daemon.endpoint, broker=broker, installed=installed)
                try:
                    yield found
                finally:
                    await found.stop()
                    connection.close()
        finally:
            daemon.stop()
    private.remove_cgroups(CGROUPS)
    shutil.rmtree(base, ignore_errors=True)

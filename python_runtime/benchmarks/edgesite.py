"""An EdgeSite as a process of its own for benchmarks, and what /proc says of it.

A real control plane is measured beside it when EDGELAB_BENCH_KUBECONFIG names its kubeconfig.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.wire import Connection, Target, from_kubeconfig

PEER = "EDGELAB_BENCH_KUBECONFIG"
NAMESPACE = f"edgelab-bench-{os.getpid()}"
"""A run that was broken off leaves its namespace in the other control plane; the next one has its own."""
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A running EdgeSite."""

    def __init__(
        self, process: asyncio.subprocess.Process, target: Target, kubeconfig: Path, seconds: float
    ) -> None:
        self.pid = process.pid
        self.target = target
        self.kubeconfig = kubeconfig
        self.start_seconds = seconds
        """From the start of the process to the first `ok` of /readyz."""

    def memory(self) -> float:
        """Resident memory in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the process has ended")

    def cpu_seconds(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """EdgeSite with an empty store on the disk of the working directory."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        port, kubeconfig = free_port(), Path(folder) / "kubeconfig"
        arguments = ["server", "--data-dir", f"{folder}/data", "--listen", f"127.0.0.1:{port}"]
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edgelab.edgesite", *arguments, "--write-kubeconfig", str(kubeconfig)
        )
        try:
            target = await _ready(process, kubeconfig)
            yield Server(process, target, kubeconfig, time.perf_counter() - started)
        finally:
            process.terminate()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, kubeconfig: Path) -> Target:
    while process.returncode is None:
        if kubeconfig.exists() and kubeconfig.stat().st_size:
            target = from_kubeconfig("EdgeSite", kubeconfig, is_ours=True)
            try:
                connection = await Connection.open(target)
                if await connection.send("GET", "/readyz") == 200:
                    return target
            except OSError:
                pass
        await asyncio.sleep(0.01)
    raise RuntimeError(f"EdgeSite ended with status {process.returncode}")


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer() -> Target | None:
    """The real control plane to compare with, if one was named."""
    path = os.environ.get(PEER)
    return from_kubeconfig("kube-apiserver", Path(path)) if path else None


@asynccontextmanager
async def namespace(target: Target) -> AsyncIterator[Connection]:
    """A namespace with its service account while the body runs, and a connection."""
    connection = await Connection.open(target)
    metadata = {"name": NAMESPACE}
    await connection.call("POST", "/api/v1/namespaces", {"metadata": metadata})
    await _account(connection)
    try:
        yield connection
    finally:
        connection.close()
        connection = await Connection.open(target)  # a server ends connections that were idle for long
        # no kubelet will ever say that the pods of made-up nodes have stopped
        await connection.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0")
        await connection.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
        if not target.is_ours:  # ours ends with its benchmark
            await _gone(connection)
        connection.close()


async def _gone(connection: Connection) -> None:
    """Wait: a namespace that is still being emptied disturbs what is measured next."""
    status = 200
    while status != 404:
        await asyncio.sleep(1)
        status = await connection.send("GET", f"/api/v1/namespaces/{NAMESPACE}")
        await connection.body()


async def _account(connection: Connection) -> None:
    while True:
        status = await connection.send("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")
        await connection.body()
        if status == 200:
            return
        await asyncio.sleep(0.05)


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A pod of the size that deployments make: about 1.5 KiB when it is stored."""
    container = {
        "name": "app",
        "image": "registry.example.com/team/application:1.2.3",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "env": [{"name": f"SETTING_{number}", "value": "some value"} for number in range(5)],
        "ports": [{"containerPort": 8080, "name": "http"}],
    }
    labels = {"app": "bench", "pod-template-hash": "7d4c9d5b8f"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container], **spec}}


def node(name: str) -> dict[str, Any]:
    """A node that takes everything and was heard of just now: without a heartbeat it would be tainted."""
    offer = {"cpu": "64", "memory": "256Gi", "pods": "10000"}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {"type": "Ready", "status": "True", "reason": "EdgeReady", "lastHeartbeatTime": now}
    status = {"allocatable": offer, "capacity": offer, "conditions": [ready]}
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "status": status}

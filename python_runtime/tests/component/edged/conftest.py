"""Fixtures: one containerd for all tests, a fresh edged for each."""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged import containerd as private
from tests.component.edged.containerd import Containerd
from tests.component.edged.meta import FakeMeta

from edgelab.cri.choice import connect
from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.edged import Edged
from edgelab.settings.edgecore import Edged as Settings

Obj = dict[str, Any]


@pytest.fixture(scope="session")
def runtime_daemon() -> Iterator[Containerd]:
    missing = private.available()
    if missing:
        pytest.fail(f"component tests of edged: {missing}")
    with private.running("edged-test-", cgroup_root()) as daemon:
        yield daemon


def cgroup_root() -> str:
    return f"/edgelab-test-{os.getpid()}"


def default_settings(base: Path, endpoint: str) -> Settings:
    settings = Settings(nodeIP="127.0.0.1", rootDirectory=str(base / "kubelet"), hostnameOverride="edge1")
    config = settings.tailoredKubeletConfig
    config.containerRuntimeEndpoint = config.imageServiceEndpoint = endpoint
    config.podLogsDir = str(base / "logs")
    config.cgroupRoot = cgroup_root()
    config.readOnlyPort = 0
    config.staticPodPath = ""
    config.syncFrequency = "2s"
    return settings


class Bench:
    """edged over a FakeMeta: start it, stop it (containers go on), and wait for what it does."""

    def __init__(self, base: Path, endpoint: str) -> None:
        self.meta = FakeMeta()
        self.settings = default_settings(base, endpoint)
        self.base = base
        self.runtime: Runtime = connect(endpoint)
        self.edged: Edged | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Edged:
        self.edged = Edged(self.settings, self.meta, "edge1", SYSTEM, database_dir=self.base)
        self._task = asyncio.create_task(self.edged.run())
        await asyncio.sleep(0)
        return self.edged

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def apply(self, pod: Obj) -> None:
        self.meta.stored_pods[pod["metadata"]["uid"]] = pod
        if self.edged is not None:
            self.edged.pod_changed(pod)

    def remove(self, pod: Obj) -> None:
        self.meta.stored_pods.pop(pod["metadata"]["uid"], None)
        if self.edged is not None:
            self.edged.pod_removed(
                pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"]["uid"]
            )

    def status(self, pod: Obj) -> Obj:
        return self.meta.statuses.get(pod["metadata"]["name"], {})

    async def until(self, condition: Callable[[], Any], what: str, limit: float = 30) -> None:
        try:
            async with asyncio.timeout(limit):
                while not condition():
                    if self._task is not None and self._task.done():
                        self._task.result()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"not within {limit} s: {what}; statuses: {self.meta.statuses}")

    async def phase(self, pod: Obj, phase: str, limit: float = 30) -> None:
        await self.until(lambda: self.status(pod).get("phase") == phase, f"phase {phase}", limit)

    async def ready(self, pod: Obj, limit: float = 30) -> None:
        """Wait for the readiness probe: a running process need not listen yet."""

        def is_ready() -> bool:
            conditions = self.status(pod).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        await self.until(is_ready, "Ready", limit)

    async def containers(self, pod: Obj) -> list[Any]:
        labels = {"io.kubernetes.pod.uid": pod["metadata"]["uid"]}
        return list(await self.runtime.list_containers(labels))

    async def sandboxes(self, pod: Obj) -> list[Any]:
        labels = {"io.kubernetes.pod.uid": pod["metadata"]["uid"]}
        return list(await self.runtime.list_sandboxes(labels))

    async def clean(self) -> None:
        for sandbox in await self.runtime.list_sandboxes():
            for left in (4, 3, 2, 1, 0):
                try:
                    await self.runtime.stop_sandbox(sandbox.id)
                    await self.runtime.remove_sandbox(sandbox.id)
                    break
                except CriError:  # a container that ends by itself at this very moment takes its shim along
                    if not left:
                        raise
                    await asyncio.sleep(0.5)


@pytest.fixture
async def bench(runtime_daemon: Containerd, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, runtime_daemon.endpoint)
    yield bench
    await bench.stop()
    try:
        await bench.clean()
    finally:
        bench.runtime.close()


_numbers = itertools.count(1)


def make_pod(name: str, container: Obj, **spec: Any) -> Obj:
    """A pod with one container named `main`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-{next(_numbers)}",
            "namespace": "default",
            "uid": str(uuid.uuid4()),
            "labels": {"app": name},
        },
        "spec": {
            "nodeName": "edge1",
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "main", **container}],
            **spec,
        },
    }


def busybox(*command: str, **more: Any) -> Obj:
    return {"image": "edgelab.local/busybox:1.35", "command": list(command), **more}

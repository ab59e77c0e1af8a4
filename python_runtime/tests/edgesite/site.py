"""Controllers and scheduler on an API in memory, with time that tests own and nodes that obey."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.kube.fake_api import FakeApi

from edgelab.daemon.clock import rfc3339
from edgelab.daemon.tasks import Module, run_modules
from edgelab.edgesite import controllers, scheduler
from edgelab.kube.interface import Obj
from edgelab.kube.resources import (
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from edgelab.objects.metadata import is_deleting


class TestClock:
    """Stands still until `advance`."""

    __test__ = False

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.seconds + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        due = [future for when, future in self._sleepers if when <= self.seconds]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self.seconds]
        for future in due:
            if not future.done():
                future.set_result(None)


class Site:
    def __init__(self) -> None:
        self.clock = TestClock()
        self.api = FakeApi(self.clock)
        self.alive: set[str] = set()
        """Nodes that renew their lease while time passes."""

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that happens now, then in each of the following seconds."""
        await self._quiet()
        for _ in range(int(seconds)):
            self.clock.advance(1)
            if int(self.clock.seconds) % 10 == 0:
                for name in self.alive:
                    await self.heartbeat(name)
            await self._quiet()

    async def _quiet(self) -> None:
        """Wait until nobody has written or listed for a while of loop turns."""
        still, before = 0, -1
        while still < 60:
            await asyncio.sleep(0)
            now = self.api.revision + len(self.api.calls)
            still = still + 1 if now == before else 0
            before = now

    async def namespace(self, name: str) -> Obj:
        return await self.api.create(
            NAMESPACES, {"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}, "status": {}}
        )

    async def node(
        self, name: str, *, labels: dict[str, str] | None = None, taints: Any = None, **offer: str
    ) -> Obj:
        allocatable = {"cpu": "2", "memory": "2Gi", "pods": "110", **offer}
        spec = {"taints": taints} if taints else {}
        conditions = [
            {"type": "Ready", "status": "True", "reason": "EdgeReady", "lastHeartbeatTime": self.stamp()},
        ]
        node = {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": spec,
            "status": {"allocatable": allocatable, "capacity": allocatable, "conditions": conditions},
        }
        self.alive.add(name)
        return await self.api.create(NODES, node)

    async def heartbeat(self, name: str) -> None:
        lease = {"metadata": {"name": name}, "spec": {"renewTime": self.stamp()}}
        key = ("kube-node-lease", name)
        if key in self.api.objects.get(LEASES, {}):
            await self.api.patch(LEASES, name, lease, "kube-node-lease")
        else:
            await self.api.create(LEASES, lease, "kube-node-lease")

    async def provision(self) -> None:
        """What a storage provisioner does: a claim without a volume gets one of its own."""
        for claim in list(self.api.all(PERSISTENT_VOLUME_CLAIMS)):
            metadata = claim["metadata"]
            if claim["spec"].get("volumeName"):
                continue
            name = f"pv-{metadata['uid']}"
            owner = {key: metadata[key] for key in ("name", "namespace", "uid")}
            spec = {"claimRef": owner, "persistentVolumeReclaimPolicy": "Retain"}
            volume = {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Bound"}}
            await self.api.create(PERSISTENT_VOLUMES, volume)
            bound = {
                "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
                "spec": {"volumeName": name},
                "status": {"phase": "Bound"},
            }
            await self.api.patch(PERSISTENT_VOLUME_CLAIMS, metadata["name"], bound, metadata["namespace"])

    async def run_pods(self) -> None:
        """What kubelets do: bound pods become ready, deleted ones go."""
        await self.provision()
        for pod in list(self.api.all(PODS)):
            metadata = pod["metadata"]
            if not pod["spec"].get("nodeName"):
                continue
            if is_deleting(pod):
                options = {"gracePeriodSeconds": 0}
                await self.api.delete(PODS, metadata["name"], metadata["namespace"], options=options)
            elif pod["status"].get("phase") == "Pending":
                await self.set_ready(pod)

    async def set_ready(self, pod: Obj, ready: str = "True", phase: str = "Running") -> None:
        conditions = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": ready, "lastTransitionTime": self.stamp()},
        ]
        number = int(pod["metadata"]["resourceVersion"])
        status = {
            "phase": phase,
            "podIP": f"10.1.{number // 250 % 250}.{number % 250 + 1}",
            "conditions": conditions,
        }
        await self.api.patch(
            PODS,
            pod["metadata"]["name"],
            {"status": status},
            pod["metadata"]["namespace"],
            subresource="status",
        )

    async def until(self, condition: Callable[[], bool], *, rounds: int = 50) -> None:
        """Let pods run and time pass until the condition holds."""
        for _ in range(rounds):
            await self.settle()
            if condition():
                return
            await self.run_pods()
            await self.settle()
            if condition():
                return
            self.clock.advance(1)
        raise AssertionError("it never came true")

    def writes(self) -> list[tuple[str, str, str]]:
        """Every write but the nodes' heartbeats."""
        return [call for call in self.api.calls if call[1] != "leases"]

    def stamp(self) -> str:
        return rfc3339(self.clock.now())


@asynccontextmanager
async def site(*, ca_pem: str = "", with_scheduler: bool = True) -> AsyncIterator[Site]:
    made = Site()
    for name in ("default", "kube-node-lease"):
        await made.namespace(name)
    modules: list[Module] = controllers.build(made.api, made.clock, ca_pem)
    if with_scheduler:
        modules += scheduler.build(made.api, made.clock)
    task = asyncio.create_task(run_modules(modules))
    await made.settle()
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()):
        raise error

"""A node without containers: it registers, renews its lease and says that every pod runs."""

from __future__ import annotations

import asyncio

from edgelab.daemon.clock import SYSTEM, rfc3339, rfc3339_micro
from edgelab.daemon.errors import Unreachable
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import KubeApi, Obj, PatchType
from edgelab.kube.resources import LEASES, NODES, PODS
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError


class Kubelet:
    def __init__(self, api: KubeApi, name: str) -> None:
        self._api = api
        self.node = name
        self._changed: asyncio.Queue[Obj] = asyncio.Queue()
        self.informer = Informer(api, PODS, field_selector=f"spec.nodeName={name}")
        self.events: list[tuple[str, str]] = []
        self.informer.add_handler(self._on_pod)

    async def register(self, labels: dict[str, str]) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node, "labels": labels}}
        await self._api.create(NODES, node)
        offer = {"cpu": "2", "memory": "2Gi", "pods": "110"}
        now = rfc3339(SYSTEM.now())
        ready = {"type": "Ready", "status": "True", "reason": "EdgeReady", "message": "posting"}
        condition = {**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}
        status = {"status": {"capacity": offer, "allocatable": offer, "conditions": [condition]}}
        await self._api.patch(NODES, self.node, status, patch_type=PatchType.STRATEGIC, subresource="status")
        lease = {
            "metadata": {"name": self.node},
            "spec": {"holderIdentity": self.node, "renewTime": rfc3339_micro(SYSTEM.now())},
        }
        await self._api.create(LEASES, lease, "kube-node-lease")

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informer.run(), name="informer")
            group.create_task(self._work(), name="work")

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        self.events.append((event_type, new["metadata"]["uid"]))
        if event_type != DELETED:
            self._changed.put_nowait(new)

    async def _work(self) -> None:
        while True:
            pod = await self._changed.get()
            try:
                await self._treat(pod)
            except Unreachable:
                self._changed.put_nowait(pod)
                await asyncio.sleep(0.05)
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

    async def _treat(self, pod: Obj) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if is_deleting(pod):
            await self._api.delete(PODS, name, namespace, options={"gracePeriodSeconds": 0})
        elif pod["status"].get("phase") == "Pending":
            now = rfc3339(SYSTEM.now())
            conditions = [
                {"type": kind, "status": "True", "lastTransitionTime": now}
                for kind in ("Initialized", "ContainersReady", "Ready")
            ]
            number = len(self.events) % 250 + 1
            status = {"phase": "Running", "podIP": f"10.1.1.{number}", "conditions": conditions}
            await self._api.patch(
                PODS,
                name,
                {"status": status},
                namespace,
                patch_type=PatchType.STRATEGIC,
                subresource="status",
            )

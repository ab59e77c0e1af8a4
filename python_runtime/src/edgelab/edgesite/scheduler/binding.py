"""Binds pods to the nodes that were chosen for them, many at a time: decisions do not wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgelab.daemon.errors import Unreachable
from edgelab.daemon.tasks import Supervisor
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.scheduler.events import SCHEDULED, EventRecorder
from edgelab.edgesite.scheduler.lookup import Lookup
from edgelab.edgesite.scheduler.plugins.volumes import Binding
from edgelab.edgesite.scheduler.verdict import SchedulerError
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import key_of
from edgelab.objects.status import ApiError

AT_ONCE = 64

Failed = Callable[[Obj, str], None]
"""Called with the pod and the reason when it could not be bound."""


class Binder:
    """Owns the bindings that are under way."""

    def __init__(self, cluster: Cluster, lookup: Lookup, events: EventRecorder, failed: Failed) -> None:
        self._cluster = cluster
        self._lookup = lookup
        self._events = events
        self._failed = failed
        self._tasks = Supervisor("binder")
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def ready(self) -> None:
        """Wait until another binding may begin."""
        async with self._slots:
            return

    def bind(self, pod: Obj, node: str, volumes: Binding | None) -> None:
        """Begin to bind a pod; volumes first."""
        self._tasks.spawn(self._bind(pod, node, volumes), "/".join(key_of(pod)))

    async def close(self) -> None:
        """Give up what is under way."""
        await self._tasks.close()

    async def _bind(self, pod: Obj, node: str, volumes: Binding | None) -> None:
        metadata = pod["metadata"]
        try:
            if volumes is not None and (volumes.static or volumes.provision):
                await self._bind_volumes(volumes, node)
            async with self._slots:
                await self._cluster.api.create(
                    PODS, _binding(pod, node), metadata["namespace"], subresource="binding"
                )
        except (ApiError, Unreachable) as error:
            self._failed(pod, f'binding rejected: running Bind plugin "DefaultBinder": {error}')
            return
        except SchedulerError as error:
            self._failed(pod, str(error))
            return
        note = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        self._events.record(SCHEDULED, pod, note)

    async def _bind_volumes(self, volumes: Binding, node: str) -> None:
        from edgelab.edgesite.scheduler.storage import bind_volumes  # noqa: PLC0415 - rarely needed

        await bind_volumes(self._cluster, self._lookup, volumes, node)


def _binding(pod: Obj, node: str) -> Obj:
    metadata = pod["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }

"""What ResourceQuotas have used: counted anew when things go or change (pkg/controller/resourcequota).

Receives quotas, definitions of custom resources, and the objects of those kinds that quotas count. Writes
the quotas' status. What is created is added by admission at once; here everything is counted again, also
from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from edgelab.daemon.tasks import Supervisor
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import RESOURCE_QUOTAS
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.quota import amounts, pods
from edgelab.edgesite.quota.amounts import Amounts
from edgelab.edgesite.quota.usage import CLAIMS, PODS, SERVICES, Counted, covers, kind_of, usage
from edgelab.kube import resources
from edgelab.kube.informer import ADDED, DELETED, Informer, Key
from edgelab.kube.interface import Obj, Resource
from edgelab.objects.status import ApiError

PERIOD_SECONDS = 300.0
_KEPT = ("name", "namespace", "uid", "resourceVersion")


class ResourceQuotaController:
    """A module; its queue holds the keys of quotas. `kinds` gives every kind that is served now."""

    name = "resourcequota-controller"

    def __init__(self, cluster: Cluster, kinds: Callable[[], Iterable[Resource]]) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._quotas = cluster.view(RESOURCE_QUOTAS)
        self._tasks = Supervisor(self.name)
        self._followed: dict[Counted, tuple[Resource, asyncio.Task[None]]] = {}
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._quotas])

    async def run(self) -> None:
        """Keep the quotas' status."""
        await self._quotas.wait_synced()
        self._quotas.add_handler(self._on_quota)
        self._cluster.view(resources.CRDS).add_handler(self._on_definition)
        for kind, resource in (
            (PODS, resources.PODS),
            (SERVICES, resources.SERVICES),
            (CLAIMS, resources.PERSISTENT_VOLUME_CLAIMS),
        ):
            self._cluster.view(resource).add_handler(self._handler(kind))
        try:
            await self._queue.run()
        finally:
            await self._tasks.close()

    def _on_quota(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type == DELETED or old is None or _limits(old) != _limits(new):
            self._follow_what_counts()
        if event_type != DELETED and (old is None or old["spec"] != new["spec"]):
            self._queue.add_object(new)

    def _on_definition(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """Its objects may count from now on, or no longer."""
        spec = new["spec"]
        self._follow_what_counts()
        for quota in self._quotas.all():
            if Counted(spec["group"], spec["names"]["plural"]) in _counted(quota):
                self._queue.add_object(quota)

    def _follow_what_counts(self) -> None:
        """Watch the kinds that some quota counts and that nobody else watches; no others."""
        wanted = {kind for quota in self._quotas.all() for kind in _counted(quota)}
        served = {Counted(r.group, r.plural): r for r in self._kinds()} if wanted else {}
        for kind, (resource, task) in list(self._followed.items()):
            if kind not in wanted or served.get(kind) != resource:
                task.cancel()
                del self._followed[kind]
        for kind in wanted - self._followed.keys() - {PODS, SERVICES, CLAIMS}:
            if kind in served:
                self._follow(kind, served[kind])

    def _follow(self, kind: Counted, resource: Resource) -> None:
        informer = Informer(self._cluster.api, resource, transform=_slim, clock=self._cluster.clock)
        informer.add_handler(self._handler(kind))
        self._followed[kind] = (resource, self._tasks.spawn(informer.run(), resource.plural))

    def _handler(self, kind: Counted) -> Callable[[str, Obj | None, Obj], None]:
        """What is created has been added already; what changes seldom means anything."""

        def handle(event_type: str, old: Obj | None, new: Obj) -> None:
            if event_type == ADDED or (event_type != DELETED and not self._matters(kind, old, new)):
                return
            for quota in self._quotas.in_namespace(new["metadata"].get("namespace", "")):
                if kind in _counted(quota):
                    self._queue.add_object(quota)

        return handle

    def _matters(self, kind: Counted, old: Obj | None, new: Obj) -> bool:
        if old is None or kind not in (PODS, SERVICES, CLAIMS):
            return False
        now = self._cluster.clock.now()
        changed = kind == PODS and pods.ends(old) != pods.ends(new)
        return changed or not amounts.equal(usage(kind, old, now), usage(kind, new, now))

    async def _reconcile(self, key: Key) -> float | None:
        try:
            quota = await self._cluster.api.get(RESOURCE_QUOTAS, key[1], key[0])
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        hard, status = quota["spec"].get("hard") or {}, quota.get("status") or {}
        used = await self._used(quota)
        recorded = amounts.parse_all(status.get("used"))
        if status.get("hard") != hard or not amounts.equal(recorded, used):
            shown: Obj = {"hard": hard}
            if used:
                shown["used"] = {name: str(amount) for name, amount in used.items()}
            await self._cluster.update(RESOURCE_QUOTAS, {**quota, "status": shown}, "status")
        return PERIOD_SECONDS

    async def _used(self, quota: Obj) -> Amounts:
        """What all objects of the namespace together use of the resources that can be counted."""
        spec, namespace = quota["spec"], quota["metadata"]["namespace"]
        served = {Counted(r.group, r.plural): r for r in self._kinds()}
        used: Amounts = {}
        for kind in _counted(quota) & served.keys():
            names = {name for name in spec["hard"] if kind_of(name) == kind}
            used |= dict.fromkeys(names, amounts.NOTHING)
            now = self._cluster.clock.now()
            for obj in (await self._cluster.api.list(served[kind], namespace)).items:
                if covers(spec, kind, obj):
                    amounts.add(used, {n: a for n, a in usage(kind, obj, now).items() if n in names})
        return used


def _limits(quota: Obj) -> object:
    return quota["spec"].get("hard")


def _counted(quota: Obj) -> set[Counted]:
    """The kinds that a quota counts."""
    kinds = {kind_of(name) for name in quota["spec"].get("hard") or ()}
    return {kind for kind in kinds if kind is not None}


def _slim(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    kept = {
        name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion") if name in metadata
    }
    return {"metadata": kept}

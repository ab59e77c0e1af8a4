"""EdgeApplicationController: makes and keeps the objects of each EdgeApplication.

Receives: EdgeApplications and the objects of the kinds that they hold from informers. Writes: those
objects, the application's status and its list of what it made (before the objects, so that none is ever
left behind). Deletes: objects that the application holds no more. When the application goes, its objects
do by their owner reference. Stores nothing but what it has complained of; without the API, applications
are worked on again with growing delays. An object is changed only when its manifest is: what others
change of it (replicas, say) stays, as in the original. Facts: KubeEdge `edgeapplicationcontroller.go`
(docs/reference/node-groups.md says what differs).
"""

from __future__ import annotations

import json
import logging
from typing import NamedTuple

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.controllermanager.followers import Followers
from edgelab.cloudcore.controllermanager.kinds import Kinds
from edgelab.cloudcore.controllermanager.notices import Notices
from edgelab.cloudcore.controllermanager.objects import Maker, Misfit
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import Key
from edgelab.kube.interface import KubeApi, Obj, RawApi, Resource
from edgelab.kube.resources import EDGE_APPLICATIONS
from edgelab.objects.edgeapps.expansion import Instance, expand
from edgelab.objects.edgeapps.names import LAST_CONTAINED
from edgelab.objects.edgeapps.status import identifier, is_available, workload_status
from edgelab.objects.metadata import is_deleting, key_of
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.applications")

REASON = "ManifestNotApplied"


class _Placed(NamedTuple):
    name: Obj
    resource: Resource
    object: Obj


class EdgeApplicationController:
    """A module. Call `start` once the informers have listed everything."""

    name = "controllermanager/edgeapplications"

    def __init__(self, api: KubeApi, raw: RawApi, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._applications = cluster[EDGE_APPLICATIONS]
        self._queue: WorkQueue[Key] = WorkQueue(self.name, self._settle, clock=clock)
        self.followers = Followers(api, cluster, self._queue.add, clock)
        self._kinds = Kinds(raw)
        self._maker = Maker(api)
        self._notices = Notices(api, EDGE_APPLICATIONS, clock)

    def start(self) -> None:
        """Follow the informer; what is there already is looked at first."""
        self._applications.add_handler(lambda _event, _old, app: self._queue.add(key_of(app)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    async def _settle(self, key: Key) -> None:
        """Bring one application's objects to what they should be, and its status to what they are."""
        application = self._applications.store.get(key)
        if application is None or is_deleting(application):
            self._notices.forget(key)
            return
        instances, problems = expand(application)
        placed = await self._placed(instances, problems)
        made, wanted = _contained(application), [one.name for one in placed]
        await self._remember(application, [*made, *(name for name in wanted if name not in made)])
        states, failure = await self._apply(application, placed, problems)
        for name in made:
            if not any(_same(name, other) for other in wanted):
                await self._remove(application, name)
        await self._remember(application, wanted)
        await self._report(application, states)
        await self._notices.tell(application, REASON, problems)
        if failure is not None:
            raise failure

    async def _placed(self, instances: list[Instance], problems: list[str]) -> list[_Placed]:
        """The instances of kinds that there are in namespaces."""
        placed = []
        for ordinal, obj in instances:
            resource = await self._kinds.find(obj["apiVersion"], obj["kind"])
            field = f"spec.workloadTemplate.manifests[{ordinal}]"
            if resource is None:
                problems.append(f"{field}: the cluster has no kind {obj['kind']} of {obj['apiVersion']}")
            elif not resource.namespaced:
                problems.append(f"{field}: a {obj['kind']} is in no namespace; apply it yourself")
            else:
                placed.append(_Placed(identifier(ordinal, obj, resource.plural), resource, obj))
        return placed

    async def _apply(
        self, application: Obj, placed: list[_Placed], problems: list[str]
    ) -> tuple[list[tuple[Obj, bool]], ApiError | None]:
        """Whether each object is available, and the last refusal of the API, after which to try again."""
        states, failure = [], None
        for name, resource, obj in placed:
            available = False
            try:
                informer = await self.followers.follow(resource)
                live = informer.store.get((name["namespace"], name["name"]))
                available = is_available(await self._maker.apply(resource, obj, live, application))
            except Misfit as misfit:
                problems.append(f"{name['kind']} {name['name']}: {misfit}")
            except ApiError as error:
                problems.append(f"{name['kind']} {name['name']}: {error}")
                failure = error
            states.append((name, available))
        return states, failure

    async def _remove(self, application: Obj, name: Obj) -> None:
        version = f"{name['group']}/{name['version']}" if name.get("group") else name["version"]
        resource = await self._kinds.find(version, name["kind"])
        if resource is not None:
            await self._maker.remove(resource, name["namespace"], name["name"], application)

    async def _remember(self, application: Obj, names: list[Obj]) -> None:
        """Write down, in the application, which objects there are because of it."""
        if _contained(application) == names:
            return
        namespace, name = key_of(application)
        notes = {LAST_CONTAINED: json.dumps(names, separators=(",", ":"))}
        await self._api.patch(EDGE_APPLICATIONS, name, {"metadata": {"annotations": notes}}, namespace)

    async def _report(self, application: Obj, states: list[tuple[Obj, bool]]) -> None:
        manifests = ((application.get("spec") or {}).get("workloadTemplate") or {}).get("manifests") or ()
        status = workload_status(states, len(manifests))
        if ((application.get("status") or {}).get("workloadStatus") or []) == status:
            return
        namespace, name = key_of(application)
        change = {"status": {"workloadStatus": status}}
        await self._api.patch(EDGE_APPLICATIONS, name, change, namespace, subresource="status")


def _contained(application: Obj) -> list[Obj]:
    """What the application says that it made; nothing when that cannot be read."""
    text = (application["metadata"].get("annotations") or {}).get(LAST_CONTAINED) or "[]"
    try:
        found = json.loads(text)
    except ValueError:
        return []
    keys = {"group", "version", "kind", "namespace", "name"}
    return (
        [one for one in found if isinstance(one, dict) and keys <= one.keys()]
        if isinstance(found, list)
        else []
    )


def _same(one: Obj, other: Obj) -> bool:
    """Whether two names are one object's (its place in the list may have changed)."""
    return all(one[key] == other[key] for key in ("group", "kind", "namespace", "name"))

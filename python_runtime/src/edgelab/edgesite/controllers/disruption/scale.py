"""How many pods the owners of some pods want to have (`getExpectedScale`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import (
    BUILT_IN,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    custom_resource,
)
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import CRDS, DEPLOYMENTS, REPLICA_SETS
from edgelab.objects.metadata import controller_of
from edgelab.objects.status import ApiError


class NoScale(Exception):
    """The number cannot be known; the message says why."""


class Scales:
    """Looks owners up: the built-in ones in the views, custom ones through the API."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.view(REPLICA_SETS)
        self._deployments = cluster.view(DEPLOYMENTS)
        self._direct = {
            ("ReplicationController", ""): cluster.view(REPLICATION_CONTROLLERS),
            ("StatefulSet", "apps"): cluster.view(STATEFUL_SETS),
        }
        self._definitions = cluster.view(CRDS)
        self.views = [self._sets, self._deployments, *self._direct.values(), self._definitions]

    async def expected(self, pods: Iterable[Obj]) -> tuple[int, list[str]]:
        """The sum over all owners, and the names of pods that have none. Raises NoScale."""
        scales: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                unmanaged.append(pod["metadata"]["name"])
            elif owner["uid"] not in scales:
                found = await self._of(owner, pod["metadata"]["namespace"])
                if found is None:
                    raise NoScale(f'found no controllers for pod "{pod["metadata"]["name"]}"')
                scales[found[0]] = found[1]
        return sum(scales.values()), unmanaged

    async def _of(self, owner: Obj, namespace: str) -> tuple[str, int] | None:
        """uid and size of what owns a pod, or of the Deployment above it."""
        group = owner["apiVersion"].rpartition("/")[0]
        view = self._direct.get((owner["kind"], group))
        if (owner["kind"], group) == ("ReplicaSet", "apps"):
            found = self._sets.get(owner["name"], namespace)
            above = controller_of(found) if found is not None else None
            if above is not None and above["kind"] == "Deployment":
                owner, view = above, self._deployments
            else:
                view = self._sets
        if view is None:
            return await self._custom(owner, group, namespace)
        found = view.get(owner["name"], namespace)
        if found is None or found["metadata"]["uid"] != owner["uid"]:
            return None
        return owner["uid"], int(found["spec"].get("replicas", 1))

    async def _custom(self, owner: Obj, group: str, namespace: str) -> tuple[str, int] | None:
        """An owner with a scale subresource."""
        for definition in self._definitions.all():
            spec = definition["spec"]
            if (spec["group"], spec["names"]["kind"]) != (group, owner["kind"]):
                continue
            resource = custom_resource(definition)
            path = _replicas_path(definition, resource)
            if resource is None or path is None:
                raise NoScale(f"{spec['names']['plural']}.{group} does not implement the scale subresource")
            try:
                found = await self._cluster.api.get(resource, owner["name"], namespace)
            except ApiError as error:
                if error.code == 404:
                    return None
                raise
            same = found["metadata"]["uid"] == owner["uid"]
            return (owner["uid"], int(_dig(found, path) or 0)) if same else None
        known = next((r for r in BUILT_IN if (r.group, r.kind) == (group, owner["kind"])), None)
        if known is not None:
            name = f"{known.plural}.{group}" if group else known.plural
            raise NoScale(f"{name} does not implement the scale subresource")
        raise NoScale(f'no matches for kind "{owner["kind"]}" in version "{owner["apiVersion"]}"')


def _replicas_path(definition: Obj, resource: Resource | None) -> str | None:
    for version in definition["spec"]["versions"]:
        if resource is not None and version["name"] == resource.version:
            scale = (version.get("subresources") or {}).get("scale") or {}
            path: str | None = scale.get("specReplicasPath")
            return path
    return None


def _dig(obj: Obj, path: str) -> Any:
    node: Any = obj
    for part in filter(None, path.split(".")):
        node = node.get(part) if isinstance(node, dict) else None
    return node

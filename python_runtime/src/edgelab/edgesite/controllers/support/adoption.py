"""Who owns what: adopt orphans that a selector matches, release what it no longer matches.

Fact: pkg/controller/controller_ref_manager.go. An object is adopted only while its new owner is
not being deleted, and released by removing our reference, never somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.kube.interface import Obj, Resource
from edgelab.objects.metadata import controller_of, is_deleting, labels, owner_reference
from edgelab.objects.selectors import LabelSelector, from_labels, from_object
from edgelab.objects.status import ApiError


def selector_of(owner: Obj) -> LabelSelector:
    """What the owner selects; a ReplicationController has its selector in the old, plain form."""
    selector = owner["spec"].get("selector")
    return from_labels(selector) if owner["kind"] == "ReplicationController" else from_object(selector)


def _any(obj: Obj) -> bool:
    return True


async def claim(
    cluster: Cluster,
    resource: Resource,
    owner: Obj,
    candidates: Iterable[Obj],
    *,
    fits: Callable[[Obj], bool] = _any,
) -> list[Obj]:
    """The candidates that `owner` controls after adoption and release; all must fit, too."""
    selector, uid = selector_of(owner), owner["metadata"]["uid"]
    mine: list[Obj] = []
    for obj in candidates:
        controller, chosen = controller_of(obj), selector.matches(labels(obj)) and fits(obj)
        if controller is not None and controller["uid"] == uid:
            if chosen or is_deleting(owner):
                mine.append(obj)
            else:
                await _release(cluster, resource, obj, uid)
        elif controller is None and chosen and not is_deleting(owner) and not is_deleting(obj):
            adopted = await _adopt(cluster, resource, obj, owner)
            mine += [adopted] if adopted is not None else []
    return mine


async def _adopt(cluster: Cluster, resource: Resource, obj: Obj, owner: Obj) -> Obj | None:
    return await _reference(cluster, resource, obj, lambda present: [*present, owner_reference(owner)])


async def _release(cluster: Cluster, resource: Resource, obj: Obj, uid: str) -> None:
    await _reference(cluster, resource, obj, lambda present: [r for r in present if r["uid"] != uid])


async def _reference(
    cluster: Cluster, resource: Resource, obj: Obj, change: Callable[[list[Obj]], list[Obj]]
) -> Obj | None:
    """Write owner references unless the object is gone; looks again when it has changed meanwhile."""
    uid, name = obj["metadata"].get("uid"), obj["metadata"]["name"]
    for last in (False, False, True):
        metadata = obj["metadata"]
        references = change(list(metadata.get("ownerReferences") or ()))
        version = metadata.get("resourceVersion")
        patch = {"metadata": {"ownerReferences": references or None, "resourceVersion": version}}
        try:
            return await cluster.patch(resource, obj, patch)
        except ApiError as error:
            if error.code == 404:
                return None
            if error.code != 409 or last:
                raise
        obj = await cluster.api.get(resource, name, metadata.get("namespace"))
        if obj["metadata"].get("uid") != uid or controller_of(obj) != _controller(metadata):
            return None
    return None


def _controller(metadata: Obj) -> Obj | None:
    return controller_of({"metadata": metadata})

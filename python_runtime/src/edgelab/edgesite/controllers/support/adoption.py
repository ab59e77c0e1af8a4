"""Who owns what: adopt orphans that a selector matches, release what it no longer matches.

Fact: pkg/controller/controller_ref_manager.go. An object is adopted only while its new owner is
not being deleted, and released by removing our reference, never somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.kube.interface import Obj, Resource
from edgelab.objects.metadata import controller_of, is_deleting, labels, owner_reference
from edgelab.objects.selectors import from_object
from edgelab.objects.status import ApiError


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
    selector, uid = from_object(owner["spec"].get("selector")), owner["metadata"]["uid"]
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
    references = [*(obj["metadata"].get("ownerReferences") or []), owner_reference(owner)]
    return await _reference(cluster, resource, obj, references)


async def _release(cluster: Cluster, resource: Resource, obj: Obj, uid: str) -> None:
    references = [r for r in obj["metadata"].get("ownerReferences") or [] if r["uid"] != uid]
    await _reference(cluster, resource, obj, references)


async def _reference(cluster: Cluster, resource: Resource, obj: Obj, references: list[Obj]) -> Obj | None:
    """Write owner references unless the object has changed or gone meanwhile."""
    version = obj["metadata"].get("resourceVersion")
    patch = {"metadata": {"ownerReferences": references or None, "resourceVersion": version}}
    try:
        return await cluster.patch(resource, obj, patch)
    except ApiError as error:
        if error.code == 404:
            return None
        raise

"""One object of an application: made, changed with its manifest, removed."""

from __future__ import annotations

import json
import logging
from typing import Any

from edgelab.kube.interface import KubeApi, Obj, PatchType, Resource
from edgelab.objects.edgeapps.names import LAST_APPLIED
from edgelab.objects.metadata import controller_of, is_controlled_by
from edgelab.objects.patch.merge import difference
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.applications")


class Misfit(Exception):
    """The object cannot be the application's; trying again does not help."""


class Maker:
    """Writes objects. The calls raise ApiError and Unreachable."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def apply(self, resource: Resource, wanted: Obj, live: Obj | None, application: Obj) -> Obj:
        """The object as it is now, made or changed if need be. Raises Misfit when another controls it."""
        namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        text = json.dumps(wanted, separators=(",", ":"), sort_keys=True)
        if live is None:
            try:
                made = await self._api.create(resource, _noted(wanted, text), namespace)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
                live = await self._api.get(resource, name, namespace)
            else:
                log.info("%s %s/%s made for %s", resource.kind, namespace, name, _title(application))
                return made
        owner = controller_of(live)
        if owner is not None and not is_controlled_by(live, application):
            raise Misfit(f"is there and belongs to {owner['kind']} {owner['name']}")
        before = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        if before == text:
            return live
        changes = _changes(before, wanted, text, live)
        log.info("%s %s/%s changed with %s", resource.kind, namespace, name, _title(application))
        return await self._api.patch(resource, name, changes, namespace, patch_type=PatchType.MERGE)

    async def remove(self, resource: Resource, namespace: str, name: str, application: Obj) -> None:
        """Delete an object that the application made and holds no more."""
        try:
            live = await self._api.get(resource, name, namespace)
            if not is_controlled_by(live, application):
                return
            options = {"preconditions": {"uid": live["metadata"]["uid"]}, "propagationPolicy": "Background"}
            await self._api.delete(resource, name, namespace, options=options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        else:
            log.info(
                "%s %s/%s removed: %s holds it no more", resource.kind, namespace, name, _title(application)
            )


def _noted(wanted: Obj, text: str) -> Obj:
    metadata = wanted["metadata"]
    notes = {**(metadata.get("annotations") or {}), LAST_APPLIED: text}
    return {**wanted, "metadata": {**metadata, "annotations": notes}}


def _changes(before: str | None, wanted: Obj, text: str, live: Obj) -> Obj:
    """The merge patch from the manifest as it was to what is wanted: what others set is left alone.

    What was not made by an application before (or by one whose note cannot be read) is adopted as it is.
    """
    try:
        earlier = json.loads(before) if before else None
    except ValueError:
        earlier = None
    patch: dict[str, Any] = difference(earlier if isinstance(earlier, dict) else {}, wanted)
    patch = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
    metadata = {**(patch.get("metadata") or {}), "ownerReferences": _owners(wanted, live)}
    metadata.pop("name", None), metadata.pop("namespace", None)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: text}
    return {**patch, "metadata": metadata}


def _owners(wanted: Obj, live: Obj) -> list[Obj]:
    ours = wanted["metadata"]["ownerReferences"]
    uids = {one["uid"] for one in ours}
    return [*(one for one in live["metadata"].get("ownerReferences") or () if one["uid"] not in uids), *ours]


def _title(application: Obj) -> str:
    return f"EdgeApplication {application['metadata']['namespace']}/{application['metadata']['name']}"

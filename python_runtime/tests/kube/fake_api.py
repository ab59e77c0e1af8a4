"""An API server in memory: resourceVersions, watches, finalizers, generateName, status, bindings.

It knows what controllers rely on and nothing of schemas; the behaviour of the real server is
tested where the real server is.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.kube.interface import Obj, ObjectList, PatchType, Resource, WatchEvent
from edgelab.kube.resources import NAMESPACES
from edgelab.objects import selectors, status
from edgelab.objects.patch import json_patch, merge_patch


class FakeApi:
    def __init__(self, clock: Clock = SYSTEM) -> None:
        self.clock = clock
        self.revision = 1
        self.objects: dict[Resource, dict[tuple[str, str], Obj]] = {}
        self.watchers: dict[Resource, set[asyncio.Queue[WatchEvent]]] = {}
        self.calls: list[tuple[str, str, str]] = []
        """verb, plural[/subresource], name of every write."""
        self.named = 0
        self.refuse: tuple[str, str, Exception] | None = None
        """Verb, plural[/subresource] and the error that it is answered with."""
        self.log: dict[Resource, list[WatchEvent]] = {}

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        return copy.deepcopy(self._find(resource, name, namespace))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        labels, fields = selectors.parse_labels(label_selector), selectors.parse_fields(field_selector)
        items = [
            copy.deepcopy(obj)
            for (where, _), obj in sorted(self.objects.get(resource, {}).items())
            if namespace in (None, where)
            and labels.matches(obj["metadata"].get("labels"))
            and fields.matches(lambda path, obj=obj: selectors.field_value(obj, path))
        ]
        return ObjectList(items, str(self.revision))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        if opened is not None:
            opened()
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        for event in self.log.get(resource, []):
            if int(event.object["metadata"]["resourceVersion"]) > int(resource_version or 0):
                queue.put_nowait(event)
        self.watchers.setdefault(resource, set()).add(queue)
        try:
            while True:
                event = await queue.get()
                yield WatchEvent(event.type, copy.deepcopy(event.object))
        finally:
            self.watchers[resource].discard(queue)

    async def create(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        obj = copy.deepcopy(obj)
        metadata = obj.setdefault("metadata", {})
        self._note("create", resource, metadata.get("name", ""), subresource)
        if subresource == "binding":
            return self._bind(resource, obj, namespace)
        if resource.namespaced:
            metadata["namespace"] = namespace or metadata["namespace"]
            self._refuse_in_ending_namespace(resource, metadata)
        if not metadata.get("name"):
            self.named += 1
            metadata["name"] = f"{metadata['generateName']}{self.named:05}"
        key = (metadata.get("namespace", ""), metadata["name"])
        if key in self.objects.get(resource, {}):
            raise status.already_exists(resource.plural, metadata["name"], resource.group)
        metadata |= {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": rfc3339(self.clock.now()),
            "generation": 1,
        }
        obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
        if resource.kind == "Pod":
            obj.setdefault("status", {"phase": "Pending"})
        return self._store("ADDED", resource, obj)

    async def update(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        name = obj["metadata"]["name"]
        namespace = namespace or obj["metadata"].get("namespace")
        self._note("update", resource, name, subresource)
        old = self._find(resource, name, namespace)
        version = obj["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise status.conflict(resource.plural, name, "the object has been modified", resource.group)
        return self._replace(resource, old, copy.deepcopy(obj), subresource)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
    ) -> Obj:
        self._note("patch", resource, name, subresource)
        old = self._find(resource, name, namespace)
        change = json_patch if patch_type is PatchType.JSON else merge_patch
        new = change(copy.deepcopy(old), copy.deepcopy(patch))
        version = new["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise status.conflict(resource.plural, name, "the object has been modified", resource.group)
        return self._replace(resource, old, new, subresource)

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, options: Obj | None = None
    ) -> Obj:
        self._note("delete", resource, name, None)
        obj = copy.deepcopy(self._find(resource, name, namespace))
        options = options or {}
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != obj["metadata"]["uid"]:
            raise status.conflict(resource.plural, name, "the UID in the precondition does not match")
        metadata = obj["metadata"]
        policy = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(
            options.get("propagationPolicy", "")
        )
        if policy:
            metadata["finalizers"] = [*metadata.get("finalizers", []), policy]
        grace = _grace(obj) if resource.kind == "Pod" else 0
        grace = options.get("gracePeriodSeconds", grace) if grace else 0
        held = metadata.get("finalizers") or (resource.kind == "Namespace" and obj["spec"].get("finalizers"))
        if grace or held:
            metadata.setdefault("deletionTimestamp", rfc3339(self.clock.now()))
            metadata["deletionGracePeriodSeconds"] = grace
            if resource.kind == "Namespace":
                obj["status"] = {"phase": "Terminating"}
            return self._store("MODIFIED", resource, obj)
        return self._remove(resource, obj)

    # What the tests look at

    def all(self, resource: Resource, namespace: str | None = None) -> list[Obj]:
        """All objects (or one namespace's), by name."""
        stored = sorted(self.objects.get(resource, {}).items())
        return [obj for (where, _), obj in stored if namespace in (None, where)]

    def one(self, resource: Resource, name: str, namespace: str = "default") -> Obj:
        return self._find(resource, name, namespace if resource.namespaced else None)

    # How it works

    def _note(self, verb: str, resource: Resource, name: str, subresource: str | None) -> None:
        what = "/".join(filter(None, (resource.plural, subresource)))
        if self.refuse is not None and self.refuse[:2] == (verb, what):
            raise self.refuse[2]
        self.calls.append((verb, what, name))

    def _refuse_in_ending_namespace(self, resource: Resource, metadata: Obj) -> None:
        where = metadata["namespace"]
        found = self.objects.get(NAMESPACES, {}).get(("", where))
        if found is not None and found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {where} because it is being terminated"
            raise status.ApiError(403, f'{resource.plural} "{metadata.get("name", "")}" is forbidden: {why}')

    def _find(self, resource: Resource, name: str, namespace: str | None) -> Obj:
        found = self.objects.get(resource, {}).get(((namespace or "") if resource.namespaced else "", name))
        if found is None:
            raise status.not_found(resource.plural, name, resource.group)
        return found

    def _store(self, kind: str, resource: Resource, obj: Obj) -> Obj:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        metadata = obj["metadata"]
        bucket = self.objects.setdefault(resource, {})
        key = (metadata.get("namespace", ""), metadata["name"])
        if kind == "DELETED":
            bucket.pop(key, None)
        else:
            bucket[key] = obj
        event = WatchEvent(kind, copy.deepcopy(obj))
        self.log.setdefault(resource, []).append(event)
        for queue in self.watchers.get(resource, ()):
            queue.put_nowait(event)
        return copy.deepcopy(obj)

    def _remove(self, resource: Resource, obj: Obj) -> Obj:
        return self._store("DELETED", resource, obj)

    def _replace(self, resource: Resource, old: Obj, new: Obj, subresource: str | None) -> Obj:
        if subresource == "status":
            new = {**copy.deepcopy(old), "status": new.get("status")}
        elif subresource == "finalize":
            new = {**copy.deepcopy(old), "spec": new["spec"]}
        elif "status" in old:
            new = {**new, "status": copy.deepcopy(old["status"])}
        new["metadata"]["uid"] = old["metadata"]["uid"]
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if new == old:
            return copy.deepcopy(old)
        metadata = new["metadata"]
        held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        held = held or (resource.kind == "Namespace" and new["spec"].get("finalizers"))
        if metadata.get("deletionTimestamp") and not held:
            return self._remove(resource, new)
        return self._store("MODIFIED", resource, new)

    def _bind(self, resource: Resource, binding: Obj, namespace: str | None) -> Obj:
        pod = copy.deepcopy(self._find(resource, binding["metadata"]["name"], namespace))
        if pod["spec"].get("nodeName"):
            raise status.conflict("pods/binding", pod["metadata"]["name"], "pod is already assigned to node")
        pod["spec"]["nodeName"] = binding["target"]["name"]
        pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        return self._store("MODIFIED", resource, pod)


def _grace(pod: Obj) -> int:
    """Seconds that a node has to end a pod; nothing waits for one that never ran or is over."""
    bound, over = pod["spec"].get("nodeName"), pod["status"].get("phase") in ("Succeeded", "Failed")
    return 30 if bound and not over else 0

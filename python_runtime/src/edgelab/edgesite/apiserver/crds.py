"""CustomResourceDefinitions: what they define is served while they are there."""

from __future__ import annotations

import logging
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import CustomVersion, Kind
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.apiserver.schema import Node
from edgelab.edgesite.store import Entry, Overrun
from edgelab.kube.interface import Resource
from edgelab.objects import metadata as meta
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.crds")

Obj = dict[str, Any]

BUCKET = "apiextensions.k8s.io/customresourcedefinitions"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class CustomResources:
    """A module: follows the definitions in the store, serves their kinds, sets their conditions, and
    removes the objects of a definition that is being deleted before the definition itself.
    """

    name = "customresources"

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._store = registry.store
        self._clock = clock
        for entry in self._store.entries(BUCKET):
            self._serve(codec.decode(entry.data))

    @property
    def _kind(self) -> Kind:
        kind = self._registry.kinds.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert kind is not None
        return kind

    async def run(self) -> None:
        """Follow the definitions until cancelled."""
        while True:
            with self._store.watch_now(BUCKET) as watch:
                for entry in list(self._store.entries(BUCKET)):
                    await self._settle(entry)
                try:
                    while True:
                        for event in await watch.events():
                            if event.deleted:
                                self._forget(codec.decode(event.entry.data))
                            else:
                                await self._settle(event.entry)
                except Overrun:
                    log.info("too many changes of definitions at once; looking at all of them again")

    def _forget(self, crd: Obj) -> None:
        spec = crd["spec"]
        self._registry.kinds.remove(spec["group"], spec["names"]["plural"])

    async def _settle(self, entry: Entry) -> None:
        """Bring one definition to where it should be; the write that does it comes back as an event."""
        if self._store.get(entry.key) is not entry:
            return
        crd = codec.decode(entry.data)
        try:
            if meta.is_deleting(crd):
                await self._remove(crd)
            else:
                self._serve(crd)
                await self._accept(crd)
        except ApiError as error:
            log.warning("definition %s: %s", entry.key.name, error)

    async def _accept(self, crd: Obj) -> None:
        def change(old: Obj) -> Obj:
            new = {**old, "metadata": dict(old["metadata"]), "status": self._status(old)}
            finalizers = new["metadata"].get("finalizers") or []
            if FINALIZER not in finalizers:
                new["metadata"]["finalizers"] = [*finalizers, FINALIZER]
            return new

        name = crd["metadata"]["name"]
        await self._registry.change(self._kind, "", name, change, Context(), subresource="status")

    def _status(self, crd: Obj) -> Obj:
        now = rfc3339(self._clock.now())
        status = {**(crd.get("status") or {}), "acceptedNames": _names(crd["spec"]["names"])}
        holder: Obj = {"status": {**status, "conditions": list(status.get("conditions") or ())}}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ):
            if (found := meta.condition(holder, kind)) is None or found["status"] != "True":
                condition = {
                    "lastTransitionTime": now,
                    "message": message,
                    "reason": reason,
                    "status": "True",
                }
                meta.set_condition(holder, {**condition, "type": kind})
        stored = [version["name"] for version in crd["spec"]["versions"] if version.get("storage")]
        status = dict(holder["status"])
        known = status.get("storedVersions") or []
        status["storedVersions"] = [*known, *(name for name in stored if name not in known)]
        return status

    async def _remove(self, crd: Obj) -> None:
        """Delete all objects; when none is left, let the definition go."""
        if FINALIZER not in (crd["metadata"].get("finalizers") or ()):
            return
        kind = self._registry.kinds.for_plural(crd["spec"]["group"], crd["spec"]["names"]["plural"])
        while kind is not None and (left := list(self._store.entries(kind.bucket))):
            for entry in left:
                if not codec.decode(entry.data)["metadata"].get("deletionTimestamp"):
                    await self._registry.delete(kind, entry.key.namespace, entry.key.name, {}, Context())
            await self._clock.sleep(0.2)

        def release(old: Obj) -> Obj:
            kept = [item for item in old["metadata"].get("finalizers") or () if item != FINALIZER]
            return {**old, "metadata": {**old["metadata"], "finalizers": kept}}

        self._forget(crd)
        await self._registry.change(self._kind, "", crd["metadata"]["name"], release, Context())

    def _serve(self, crd: Obj) -> None:
        """Serve the versions of a definition as it is now."""
        spec, names = crd["spec"], _names(crd["spec"]["names"])
        storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
        kinds = self._registry.kinds
        served = {version["name"] for version in spec["versions"] if version.get("served")}
        for version in [v for v in kinds.groups().get(spec["group"], []) if v not in served]:
            kinds.remove(spec["group"], names["plural"], version)
        for version in spec["versions"]:
            if version["name"] in served:
                kinds.add(_kind(spec, names, version, storage))


def _names(names: Obj) -> Obj:
    """The names with their defaults."""
    return {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List", **names}


def _kind(spec: Obj, names: Obj, version: Obj, storage: str) -> Kind:
    subresources = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    free = bool(spec.get("preserveUnknownFields"))
    custom = CustomVersion(
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        scale=subresources.get("scale"),
        selectable=tuple(item["jsonPath"].lstrip(".") for item in version.get("selectableFields") or ()),
        storage_version=storage,
    )
    return Kind(
        Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            namespaced=spec["scope"] == "Namespaced",
        ),
        Node(schema) if schema is not None and not free else None,
        singular=names["singular"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(name for name in ("status", "scale") if name in subresources),
        list_kind=names["listKind"],
        custom=custom,
        storage_api_version=f"{spec['group']}/{storage}",
    )

"""CustomResourceDefinitions: what they define is served while they are there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock, rfc3339
from edgelab.daemon.tasks import Supervisor
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.custom import conditions, conversion, services, serving
from edgelab.edgesite.apiserver.custom.definition import Definition
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Entry, Key, Overrun
from edgelab.objects import metadata as meta
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.crds")

Obj = dict[str, Any]

BUCKET = "apiextensions.k8s.io/customresourcedefinitions"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
TERMINATING = "Terminating"
IN_PROGRESS = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
LATE = (
    "True",
    "InstanceDeletionCheck",
    "could not confirm zero CustomResources remaining: context deadline exceeded",
)
LATE_SECONDS = 60.0
"""After so long a definition says that its objects do not go."""
FIRST_LOOK, LONGEST_LOOK = 0.05, 5.0
SLICE = 50
ESTABLISH_SECONDS = 0.5
"""Names are accepted and definitions established in two steps, as kube-apiserver's two controllers do."""


class CustomResources:
    """A module: follows the definitions in the store, serves their kinds, sets their conditions, and
    removes the objects of a definition that is being deleted before the definition itself.
    """

    name = "customresources"

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._store = registry.store
        self._clock = clock
        self._definitions: dict[str, Definition] = {}
        self._removals: dict[str, asyncio.Task[None]] = {}
        """Definitions whose objects are being removed: that may take as long as others' finalizers do."""
        self._waiting: set[str] = set()
        self._tasks = Supervisor(self.name)
        for entry in self._store.entries(BUCKET):
            self._serve(codec.decode(entry.data))

    @property
    def _kind(self) -> Kind:
        kind = self._registry.kinds.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert kind is not None
        return kind

    async def run(self) -> None:
        """Follow the definitions until cancelled."""
        try:
            await self._follow()
        finally:
            await self._tasks.close()

    async def _follow(self) -> None:
        while True:
            with self._store.watch_now(BUCKET) as watch:
                for entry in list(self._store.entries(BUCKET)):
                    await self._settle(entry)
                try:
                    while True:
                        for event in await watch.events():
                            if event.deleted:
                                await self._gone(codec.decode(event.entry.data))
                            else:
                                await self._settle(event.entry)
                except Overrun:
                    log.info("too many changes of definitions at once; looking at all of them again")

    async def _gone(self, crd: Obj) -> None:
        self._forget(crd)
        await self._settle_group(crd)

    def _forget(self, crd: Obj) -> None:
        """Nobody serves its objects any more, and who watches them is told so."""
        self._definitions.pop(crd["metadata"]["name"], None)
        kinds, group = self._registry.kinds, crd["spec"]["group"]
        plural = ((crd.get("status") or {}).get("acceptedNames") or {}).get("plural") or ""
        kind = kinds.for_plural(group, plural)
        kinds.remove(group, plural)
        if kind is not None:
            self._store.end_watches(kind.bucket)

    async def _settle_group(self, crd: Obj) -> None:
        """Names have become free: others of the group may have wanted them."""
        for entry in list(self._store.entries(BUCKET)):
            other = codec.decode(entry.data)
            if other["spec"]["group"] == crd["spec"]["group"] and not conditions.is_true(
                other, "NamesAccepted"
            ):
                await self._settle(entry)

    async def _settle(self, entry: Entry, *, establish: bool = False) -> None:
        """Bring one definition to where it should be; the write that does it comes back as an event."""
        if self._store.get(entry.key) is not entry:
            return
        crd = codec.decode(entry.data)
        try:
            self._serve(crd)
            await self._compare(crd)
            if meta.is_deleting(crd):
                await self._remove(crd)
            else:
                await self._accept(crd, establish=establish)
        except ApiError as error:
            log.warning("definition %s: %s", entry.key.name, error)

    async def _establish(self, name: str) -> None:
        try:
            await self._clock.sleep(ESTABLISH_SECONDS)
        finally:
            self._waiting.discard(name)
        entry = self._store.get(Key(BUCKET, "", name))
        if entry is not None:
            await self._settle(entry, establish=True)

    async def _accept(self, crd: Obj, *, establish: bool) -> None:
        name, before = crd["metadata"]["name"], (crd.get("status") or {}).get("acceptedNames")

        def change(status: Obj, old: Obj) -> Obj:
            others = [
                codec.decode(entry.data) for entry in self._store.heads(BUCKET) if entry.key.name != name
            ]
            group = [other for other in others if other["spec"]["group"] == old["spec"]["group"]]
            now = rfc3339(self._clock.now())
            return conditions.settled({**old, "status": status}, group, now, establish=establish)

        new = await self._change_status(name, change)
        if conditions.is_waiting(new) and name not in self._waiting:
            self._waiting.add(name)
            self._tasks.spawn(self._establish(name), f"{name}/establish")
        if (new.get("status") or {}).get("acceptedNames") != before:
            await self._settle_group(crd)

    async def _change_status(
        self, name: str, change: Callable[[Obj, Obj], Obj], *, release: bool = False
    ) -> Obj:
        def apply(old: Obj) -> Obj:
            metadata = dict(old["metadata"])
            if release:
                kept = [item for item in metadata.get("finalizers") or () if item != FINALIZER]
                metadata["finalizers"] = kept
            return {**old, "metadata": metadata, "status": change(old.get("status") or {}, old)}

        entry = await self._registry.change(self._kind, "", name, apply, Context(), subresource="status")
        return codec.decode(entry.data)

    async def _terminating(self, name: str, *outcome: str, release: bool = False) -> Obj:
        found = conditions.condition(TERMINATING, *outcome)
        now = rfc3339(self._clock.now())
        return await self._change_status(
            name, lambda status, old: conditions.put(status, found, now), release=release
        )

    async def _remove(self, crd: Obj) -> None:
        """Begin to delete all objects; when none is left, the definition is let go."""
        name = crd["metadata"]["name"]
        if FINALIZER not in (crd["metadata"].get("finalizers") or ()) or name in self._removals:
            return
        if not conditions.is_true(crd, "Established"):
            await self._terminating(name, *IN_PROGRESS)
            never = ("False", "NeverEstablished", "resource was never established")
            await self._terminating(name, *never, release=True)
            return
        task = self._tasks.spawn(self._remove_objects(crd), name)
        self._removals[name] = task
        task.add_done_callback(lambda _: self._removals.pop(name, None))

    async def _remove_objects(self, crd: Obj) -> None:
        name, plural = crd["metadata"]["name"], crd["status"]["acceptedNames"]["plural"]
        await self._terminating(name, *IN_PROGRESS)
        kind = serving.plain(self._registry.kinds.for_plural(crd["spec"]["group"], plural))
        patience, since = delays(FIRST_LOOK, LONGEST_LOOK), self._clock.monotonic()
        while kind is not None and (left := list(self._store.entries(kind.bucket))):
            for entry in left:
                if not codec.decode(entry.data)["metadata"].get("deletionTimestamp"):
                    with suppress(ApiError):  # somebody else may have deleted it
                        await self._registry.delete(kind, entry.key.namespace, entry.key.name, {}, Context())
            if self._clock.monotonic() - since > LATE_SECONDS:
                await self._terminating(name, *LATE)
            if self._store.counts().get(kind.bucket):
                await self._clock.sleep(next(patience))
        done = ("False", "InstanceDeletionCompleted", "removed all instances")
        await self._terminating(name, *done, release=True)

    def _shared(self, crd: Obj) -> Definition:
        """What the versions share; the same as before while schemas and conversion are."""
        name, found = crd["metadata"]["name"], serving.definition(crd, services.resolver(self._store))
        known = self._definitions.get(name)
        if known is None or known.source != found.source:
            known = self._definitions[name] = found
        return known

    async def _compare(self, crd: Obj) -> None:
        """Find out whether all stored objects are as the schemas want them."""
        shared = self._definitions.get(crd["metadata"]["name"])
        plural = crd["status"]["acceptedNames"].get("plural") or ""
        kind = self._registry.kinds.for_plural(crd["spec"]["group"], plural)
        if shared is None or shared.settled or shared.converter is not None or kind is None:
            return
        for count, entry in enumerate(list(self._store.entries(kind.bucket))):
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if not conversion.is_settled(entry.data, shared):
                return
        shared.settled = self._definitions.get(crd["metadata"]["name"]) is shared

    def _serve(self, crd: Obj) -> None:
        """Serve the versions of a definition as it is now."""
        kinds, group = self._registry.kinds, crd["spec"]["group"]
        served = serving.kinds(crd, self._shared(crd)) if conditions.is_served(crd) else []
        plural = ((crd.get("status") or {}).get("acceptedNames") or {}).get("plural") or ""
        versions = {kind.resource.version for kind in served}
        for kind in [kind for kind in kinds if kind.group == group and kind.plural == plural]:
            if kind.custom is not None and kind.resource.version not in versions:
                kinds.remove(group, plural, kind.resource.version)
        for kind in served:
            kinds.add(kind)

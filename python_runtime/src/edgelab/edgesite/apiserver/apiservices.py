"""APIServices: one local object for each group version that is served.

Which ones there are is decided as by `pkg/controlplane/controller/crdregistration` and kube-aggregator's
`autoregister`: those of built-in versions are written when the server starts, those of custom resources
come and go with the definitions. An object that somebody has made himself (no label) is left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Ended, Entry, Key, Overrun, Store
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.apiservices")

Obj = dict[str, Any]

BUCKET = "apiregistration.k8s.io/apiservices"
DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"
LABEL = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
CUSTOM, CUSTOM_VERSION = 1000, 100
VERSION = 15
# pkg/controlplane/apiserver/aggregator.go, and metrics-server's own APIService
PRIORITIES = {
    "": 18000,
    "apiregistration.k8s.io": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "metrics.k8s.io": 100,
}
VERSIONS = {
    "/v1": 1,
    "autoscaling/v2": 30,
    "flowcontrol.apiserver.k8s.io/v1": 21,
    "metrics.k8s.io/v1beta1": 100,
    "resource.k8s.io/v1": 21,
}
UNLISTED = ("apiregistration.k8s.io",)
"""The aggregator's own group has no object."""


def priority(group: str) -> int:
    """By which groups are sorted, the highest first."""
    return PRIORITIES.get(group, CUSTOM)


def builtin(kinds: Kinds) -> Iterator[Obj]:
    """The objects of the built-in versions."""
    for group, version in sorted({(k.group, k.resource.version) for k in kinds if k.custom is None}):
        if group not in UNLISTED:
            weight = VERSIONS.get(f"{group}/{version}", VERSION)
            yield _object(group, version, priority(group), weight, ON_START)


def _custom(store: Store) -> Iterator[Obj]:
    """The objects of the versions that definitions serve."""
    for entry in store.entries(DEFINITIONS):
        spec = codec.decode(entry.data)["spec"]
        for version in spec["versions"]:
            if version["served"]:
                yield _object(spec["group"], version["name"], CUSTOM, CUSTOM_VERSION, ALWAYS)


def _object(group: str, version: str, minimum: int, weight: int, label: str) -> Obj:
    spec = {"version": version, "groupPriorityMinimum": minimum, "versionPriority": weight}
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {LABEL: label}},
        "spec": {**({"group": group} if group else {}), **spec},
    }


async def announce(registry: Registry) -> None:
    """Bring the objects of the built-in versions up to date, in one commit."""
    await _settle(registry, ON_START, list(builtin(registry.kinds)))


async def _settle(registry: Registry, label: str, wanted: list[Obj]) -> None:
    """Create, change and delete what bears this label, until it is as wanted."""
    kind = _kind(registry)
    names = {obj["metadata"]["name"]: obj for obj in wanted}
    gone = [
        entry.key.name
        for entry in registry.store.heads(BUCKET)
        if entry.key.name not in names and _label(codec.decode(entry.data)) == label
    ]
    async with asyncio.TaskGroup() as group:
        for name, obj in names.items():
            group.create_task(_write(registry, kind, obj), name=f"apiservices/{name}")
        for name in gone:
            group.create_task(_drop(registry, kind, name), name=f"apiservices/{name}")


def _kind(registry: Registry) -> Kind:
    found = registry.kinds.find("apiregistration.k8s.io", "v1", "apiservices")
    assert found is not None
    return found


def _label(obj: Obj) -> str:
    return str((obj["metadata"].get("labels") or {}).get(LABEL) or "")


async def _write(registry: Registry, kind: Kind, wanted: Obj) -> None:
    name, context = wanted["metadata"]["name"], Context(field_manager="kube-apiserver")
    present = registry.store.head(Key(BUCKET, "", name))
    try:
        if present is None:
            await registry.create(kind, "", wanted, context)
            return
        old = codec.decode(present.data)
        if not _label(old) or (_label(old) == _label(wanted) and old["spec"] == wanted["spec"]):
            return
        metadata = old["metadata"]
        labels = {**(metadata.get("labels") or {}), **wanted["metadata"]["labels"]}
        new = {**old, "metadata": {**metadata, "labels": labels}, "spec": wanted["spec"]}
        await registry.update(kind, "", name, new, context)
    except ApiError as error:
        log.warning("cannot write APIService %s: %s", name, error)


async def _drop(registry: Registry, kind: Kind, name: str) -> None:
    try:
        await registry.delete(kind, "", name, {}, Context())
    except ApiError as error:
        log.warning("cannot delete APIService %s: %s", name, error)


class ApiServices:
    """A module: keeps the objects of custom resources' versions as the definitions want them."""

    name = "apiservices"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow the definitions, and the objects themselves, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for bucket in (DEFINITIONS, BUCKET):
                group.create_task(self._follow(bucket), name=f"apiservices/{bucket}")
            while True:
                self._changed.clear()
                await _settle(self._registry, ALWAYS, self._wanted())
                await self._changed.wait()

    def _wanted(self) -> list[Obj]:
        own = {obj["metadata"]["name"] for obj in builtin(self._registry.kinds)}
        custom = _custom(self._registry.store)
        return [obj for obj in custom if obj["metadata"]["name"] not in own]

    async def _follow(self, bucket: str) -> None:
        store = self._registry.store
        while True:
            with store.watch_now(bucket) as watch:
                self._changed.set()
                try:
                    while True:
                        if any(self._concerns(event.entry) for event in await watch.events()):
                            self._changed.set()
                except Ended:
                    return  # the server stops
                except Overrun:
                    log.info("too many changes at once; looking at all of them again")

    @staticmethod
    def _concerns(entry: Entry) -> bool:
        return entry.key.bucket == DEFINITIONS or _label(codec.decode(entry.data)) == ALWAYS

"""Mirror pods: what shows static pods in the API (kubelet `pod/mirror_client.go`).

Receives: static pods, and the mirrors that the cloud pushes like any pod of this node. Sends: creations and
deletions of mirrors. Stores nothing of its own. Without the cloud static pods run all the same; their mirrors
are made when it is back. A mirror that somebody deletes is made again: only the file ends a static pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError

log = logging.getLogger(__name__)
Obj = dict[str, Any]

RETRY = 60.0
"""Seconds until a refused creation is tried again."""


def is_mirror(pod: Obj) -> bool:
    """Whether a pod stands for a static one."""
    return names.MIRROR in (pod["metadata"].get("annotations") or {})


class Mirrors:
    """Keeps one mirror for each static pod. `static()` gives the static pods now."""

    def __init__(
        self, meta: Meta, clock: Clock, node: str, reports: Reports, static: Callable[[], list[Obj]]
    ) -> None:
        self._meta = meta
        self._clock = clock
        self._node = node
        self._reports = reports
        self._static = static
        self._mirrors: dict[str, Obj] = {}
        self._kick = asyncio.Event()
        self._complaints: dict[str, str] = {}

    def seen(self, mirror: Obj) -> None:
        """The cloud has this mirror."""
        known = self._mirrors.get(names.key(mirror))
        if known is not None and podspec.terminating(mirror) and names.uid(known) != names.uid(mirror):
            return  # late news of the one before
        self._mirrors[names.key(mirror)] = mirror
        self._kick.set()

    def gone(self, namespace: str, name: str, uid: str) -> bool:
        """A pod is gone from the API; True when it was a mirror."""
        mirror = self._mirrors.get(f"{namespace}/{name}")
        if mirror is None or uid not in ("", names.uid(mirror)):
            return False
        del self._mirrors[f"{namespace}/{name}"]
        self._kick.set()
        return True

    def look(self) -> None:
        """Static pods changed, or the cloud is back."""
        self._kick.set()

    async def run(self) -> NoReturn:
        """Bring mirrors in line for ever."""
        while True:
            try:
                async with asyncio.timeout(RETRY):
                    await self._kick.wait()
            except TimeoutError:
                pass
            self._kick.clear()
            try:
                await self.settle()
            except (Offline, NoAnswer) as error:
                log.debug("mirror pods wait for the cloud: %s", error)

    async def settle(self) -> None:
        """Make and remove mirrors. Raises Offline and NoAnswer."""
        static = {names.key(pod): pod for pod in self._static()}
        for key, mirror in list(self._mirrors.items()):
            pod = static.get(key)
            outdated = pod is None or not _mirrors(mirror, pod)
            if outdated and await self._tried(key, self._delete(mirror)):
                self._mirrors.pop(key, None)
        for key, pod in static.items():
            if key not in self._mirrors:
                await self._tried(key, self._create(key, pod))
            if key in self._mirrors:
                self._reports.mirror(names.uid(pod), names.uid(self._mirrors[key]))

    async def _tried(self, key: str, work: Any) -> bool:
        try:
            await work
        except RemoteError as error:
            if error.reason == "NotFound":
                return True
            # AlreadyExists: the cloud has not pushed it to this node yet.
            level = logging.DEBUG if error.reason == "AlreadyExists" else logging.WARNING
            if self._complaints.get(key) != str(error):
                log.log(level, "mirror of static pod %s: %s", key, error)
            self._complaints[key] = str(error)
            return False
        self._complaints.pop(key, None)
        return True

    async def _create(self, key: str, pod: Obj) -> None:
        metadata = {k: v for k, v in pod["metadata"].items() if k in ("name", "namespace", "labels")}
        notes = pod["metadata"]["annotations"]
        metadata["annotations"] = {**notes, names.MIRROR: notes[names.CONFIG_HASH]}
        uid = ((self._meta.node(self._node) or {}).get("metadata") or {}).get("uid")
        if uid:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": uid, "controller": True}
            metadata["ownerReferences"] = [owner]
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}
        self._mirrors[key] = await self._meta.create_pod(made)

    async def _delete(self, mirror: Obj) -> None:
        metadata = mirror["metadata"]
        await self._meta.delete_pod(metadata["namespace"], metadata["name"], metadata["uid"])


def _mirrors(mirror: Obj, pod: Obj) -> bool:
    """Whether a mirror is the one of this very pod, and not about to go."""
    hashed = mirror["metadata"]["annotations"].get(names.MIRROR)
    return hashed == pod["metadata"]["annotations"][names.CONFIG_HASH] and not podspec.terminating(mirror)

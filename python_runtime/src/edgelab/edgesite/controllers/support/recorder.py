"""Events: what a component did to an object, for people who run `kubectl describe`.

A repeated event raises the count of the one before (client-go `tools/record`). Events are a
courtesy: one that cannot be written is dropped.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from secrets import token_hex

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import EVENTS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.edgesite.events")

REMEMBERED = 1024
"""So many events can be recognised as repeated; the oldest is forgotten first."""


class Recorder:
    """Writes events of one component (`deployment-controller`)."""

    def __init__(self, api: KubeApi, clock: Clock, component: str) -> None:
        self._api = api
        self._clock = clock
        self._component = component
        self._recent: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()

    async def normal(self, obj: Obj, reason: str, message: str) -> None:
        """Something went as it should."""
        await self._record("Normal", obj, reason, message)

    async def warning(self, obj: Obj, reason: str, message: str) -> None:
        """Something needs attention."""
        await self._record("Warning", obj, reason, message)

    async def _record(self, kind: str, obj: Obj, reason: str, message: str) -> None:
        same = (obj["metadata"].get("uid", ""), kind, reason, message)
        known = self._recent.pop(same, None)
        namespace = obj["metadata"].get("namespace") or "default"
        try:
            written = await self._again(known, namespace) if known else None
            if written is None:
                written = await self._first(kind, obj, namespace, reason, message), 1
        except (ApiError, Unreachable) as error:
            log.debug("event %s of %s: %s", reason, obj["metadata"].get("name"), error)
            return
        self._recent[same] = written
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    async def _again(self, known: tuple[str, int], namespace: str) -> tuple[str, int] | None:
        name, count = known
        patch = {"count": count + 1, "lastTimestamp": rfc3339(self._clock.now())}
        try:
            await self._api.patch(EVENTS, name, patch, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return name, count + 1

    async def _first(self, kind: str, obj: Obj, namespace: str, reason: str, message: str) -> str:
        metadata, now = obj["metadata"], rfc3339(self._clock.now())
        involved = {
            "kind": obj.get("kind", ""),
            "apiVersion": obj.get("apiVersion", ""),
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        event = {
            "metadata": {"name": f"{metadata['name']}.{token_hex(8)}", "namespace": namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
        }
        await self._api.create(EVENTS, event, namespace)
        name: str = event["metadata"]["name"]  # type: ignore[index]  # a dict literal of mixed values
        return name

"""Events: what a component did to an object, for people who run `kubectl describe`.

As client-go's correlator does (`tools/record/events_cache.go`): a repeated event raises the count of the
one before, the tenth of a kind within ten minutes and those after it are one event, and an object that has
much to tell is cut short. Events are a courtesy: one that cannot be written is dropped.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TypeVar

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import EVENTS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.edgesite.events")

REMEMBERED = 1024
"""So many events can be recognised as repeated; the oldest is forgotten first."""
SIMILAR = 10
SIMILAR_SECONDS = 600.0
COMBINED = "(combined from similar events): "
BURST, REFILL_SECONDS = 25, 300.0
"""So many events an object may have at once, and in what time one more."""

_Key = tuple[str, ...]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Similar:
    """Messages of one kind about one object."""

    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(slots=True)
class _Budget:
    """What an object may still tell."""

    left: float = BURST
    since: float = 0.0


class Recorder:
    """Writes events of one component (`deployment-controller`)."""

    def __init__(self, api: KubeApi, clock: Clock, component: str) -> None:
        self._api = api
        self._clock = clock
        self._component = component
        self._recent: OrderedDict[_Key, tuple[str, int]] = OrderedDict()
        self._similar: OrderedDict[_Key, _Similar] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()

    async def normal(self, obj: Obj, reason: str, message: str) -> None:
        """Something went as it should."""
        await self._record("Normal", obj, reason, message)

    async def warning(self, obj: Obj, reason: str, message: str) -> None:
        """Something needs attention."""
        await self._record("Warning", obj, reason, message)

    async def _record(self, kind: str, obj: Obj, reason: str, message: str) -> None:
        same, message = self._combine((obj["metadata"].get("uid", ""), kind, reason), message)
        if not self._may_tell(same[0]):
            return
        known = self._recent.pop(same, None)
        namespace = obj["metadata"].get("namespace") or "default"
        try:
            written = await self._again(known, namespace, message) if known else None
            if written is None:
                written = await self._first(kind, obj, namespace, reason, message), 1
        except (ApiError, Unreachable) as error:
            log.debug("event %s of %s: %s", reason, obj["metadata"].get("name"), error)
            return
        _remember(self._recent, same, written)

    def _combine(self, about: _Key, message: str) -> tuple[_Key, str]:
        """By what the event is recognised, and what it says."""
        now = self._clock.monotonic()
        similar = self._similar.pop(about, None)
        if similar is None or now - similar.last > SIMILAR_SECONDS:
            similar = _Similar()
        similar.messages.add(message)
        similar.last = now
        _remember(self._similar, about, similar)
        if len(similar.messages) < SIMILAR:
            return (*about, message), message
        similar.messages.pop()
        return about, COMBINED + message

    def _may_tell(self, uid: str) -> bool:
        now = self._clock.monotonic()
        budget = self._budgets.pop(uid, None) or _Budget(since=now)
        budget.left = min(float(BURST), budget.left + (now - budget.since) / REFILL_SECONDS)
        budget.since = now
        _remember(self._budgets, uid, budget)
        if budget.left < 1:
            return False
        budget.left -= 1
        return True

    async def _again(self, known: tuple[str, int], namespace: str, message: str) -> tuple[str, int] | None:
        name, count = known
        now = rfc3339(self._clock.now())
        patch = {"count": count + 1, "lastTimestamp": now, "message": message}
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
        name = f"{metadata['name']}.{token_hex(8)}"
        event = {
            "metadata": {"name": name, "namespace": namespace},
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
        return name


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    if len(cache) > REMEMBERED:
        cache.popitem(last=False)

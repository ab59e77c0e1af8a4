"""Kubernetes Events of this node's pods (client-go `tools/record`, with its limits).

Receives: what edged has to tell. Sends: v1 Events through MetaManager, a repeated one as an update of the
first. Stores nothing; while the cloud is away the newest `WAITING` are kept. Without `reportEvent`, which is
KubeEdge's default, nothing is sent and nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NoReturn

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgecore.interfaces import Meta, Offline

log = logging.getLogger(__name__)
Obj = dict[str, Any]

WAITING = 256
"""Events that may wait for the cloud; then the oldest is dropped, which is told once per absence."""

REMEMBERED = 512
"""Events that are known again when they repeat."""

BURST, REFILL = 25.0, 1 / 300
"""Events of one object at once, and how many a second come back: client-go's spam filter."""

NORMAL, WARNING = "Normal", "Warning"

Key = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _Known:
    event: Obj
    sent: bool = False


@dataclass(slots=True)
class _Allowance:
    left: float
    at: float


class Recorder:
    """Takes events of any object of this node. `enabled` is `modules.edged.reportEvent`."""

    def __init__(self, meta: Meta, clock: Clock, node: str, *, enabled: bool) -> None:
        self._meta, self._clock, self._node, self._enabled = meta, clock, node, enabled
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._waiting: OrderedDict[Key, _Known] = OrderedDict()
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._kick = asyncio.Event()
        self._dropped = False

    def normal(self, about: Obj, reason: str, message: str, *, field: str = "") -> None:
        """Something went as it should; `field` is a path such as `spec.containers{main}`."""
        self._record(about, NORMAL, reason, message, field)

    def warning(self, about: Obj, reason: str, message: str, *, field: str = "") -> None:
        """Something that a user may have to look at."""
        self._record(about, WARNING, reason, message, field)

    def connected(self) -> None:
        """The cloud is back."""
        self._dropped = False
        self._kick.set()

    async def run(self) -> NoReturn:
        """Send for ever."""
        while True:
            await self._kick.wait()
            self._kick.clear()
            while self._waiting:
                key, known = next(iter(self._waiting.items()))
                event = known.event
                try:
                    await self._meta.send_event(event, create=not known.sent)
                except Offline:
                    break  # `connected` kicks
                known.sent = True
                if self._waiting.get(key) is known and known.event is event:
                    del self._waiting[key]

    def _record(self, about: Obj, kind: str, reason: str, message: str, field: str) -> None:
        if not self._enabled:
            return
        metadata = about["metadata"]
        uid = str(metadata.get("uid", ""))
        if not self._allowed(uid):
            return
        key = (uid, field, kind, reason, message)
        now = rfc3339(self._clock.now())
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(self._new(about, kind, reason, message, field))
        else:
            known.event = {**known.event, "count": known.event["count"] + 1, "lastTimestamp": now}
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._queue(key, known)

    def _queue(self, key: Key, known: _Known) -> None:
        self._waiting[key] = known
        if len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)
            if not self._dropped:
                log.warning("more than %d events wait for the cloud: the oldest are dropped", WAITING)
            self._dropped = True
        self._kick.set()

    def _allowed(self, uid: str) -> bool:
        now = self._clock.monotonic()
        allowance = self._allowances.setdefault(uid, _Allowance(BURST, now))
        self._allowances.move_to_end(uid)
        if len(self._allowances) > REMEMBERED:
            self._allowances.popitem(last=False)
        allowance.left = min(BURST, allowance.left + (now - allowance.at) * REFILL)
        allowance.at = now
        if allowance.left < 1:
            return False
        allowance.left -= 1
        return True

    def _new(self, about: Obj, kind: str, reason: str, message: str, field: str) -> Obj:
        metadata, now = about["metadata"], self._clock.now()
        namespace = metadata.get("namespace") or "default"
        involved = {
            "kind": about.get("kind") or "Pod",
            "apiVersion": about.get("apiVersion") or "v1",
            "namespace": metadata.get("namespace"),
            "name": metadata["name"],
            "uid": metadata.get("uid"),
            "resourceVersion": metadata.get("resourceVersion"),
            "fieldPath": field,
        }
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": f"{metadata['name']}.{int(now.timestamp() * 1e9):x}",
                "namespace": namespace,
            },
            "involvedObject": {name: value for name, value in involved.items() if value},
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "type": kind,
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
        }

"""NodeMetrics and PodMetrics, which are not stored (metrics-server's `pkg/api`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from aiohttp import web

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import codec, computed
from edgelab.edgesite.apiserver.accept import Wanted
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.presenting import Presenter
from edgelab.edgesite.apiserver.reads import Page, parse_filter
from edgelab.edgesite.apiserver.request import ResourcePath
from edgelab.edgesite.apiserver.usage.collector import Collector
from edgelab.edgesite.apiserver.usage.history import History, Usage
from edgelab.edgesite.apiserver.usage.page import BILLION
from edgelab.edgesite.apiserver.usage.quantities import cpu, duration, memory
from edgelab.edgesite.store import Entry, Key, Store
from edgelab.objects.status import not_found

Obj = dict[str, Any]


class UsageAnswers:
    """Answers what can be asked of them. A node or pod whose usage is not known is left out of lists."""

    def __init__(self, store: Store, collector: Collector, presenter: Presenter, clock: Clock) -> None:
        self._store = store
        self._collector = collector
        self._presenter = presenter
        self._clock = clock

    async def answer(self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted) -> bytes:
        """One or all. Raises ApiError 400, 404 or 405."""
        computed.check(request, kind, path)
        if path.name:
            return await self._one(request, kind, path, wanted)
        query = request.query
        where = parse_filter(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        history = await self._collector.recent()
        entries = [
            entry for entry in self._store.entries(kind.plural, path.namespace) if where.matches(entry)
        ]
        found = [made for entry in entries if (made := self._made(kind, entry, history)) is not None]
        return self._presenter.many(kind, Page(found, 0, "", None), wanted, query)

    async def _one(self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted) -> bytes:
        key = Key(kind.plural, path.namespace, path.name)
        if self._store.get(key) is None:
            raise not_found(kind.plural, path.name)
        history = await self._collector.recent()
        entry = self._store.get(key)
        made = None if entry is None else self._made(kind, entry, history)
        if made is None:
            shown = f"{path.namespace}/{path.name}" if path.namespace else path.name
            raise not_found(kind.plural, shown, kind.group)
        return self._presenter.one(kind, made.data, wanted, request.query)

    def _made(self, kind: Kind, entry: Entry, history: History) -> Entry | None:
        if kind.name == "NodeMetrics":
            usage = history.node(entry.key.name)
            told = None if usage is None else {**_when(usage), "usage": _amounts(usage)}
        else:
            told = _pod(entry, history)
        if told is None:
            return None
        obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": self._metadata(entry), **told}
        key = entry.key
        return Entry(Key(kind.bucket, key.namespace, key.name), 0, codec.encode(obj))

    def _metadata(self, entry: Entry) -> Obj:
        key = entry.key
        return {
            "name": key.name,
            **({"namespace": key.namespace} if key.namespace else {}),
            "creationTimestamp": rfc3339(self._clock.now()),
            **({"labels": entry.labels} if entry.labels else {}),
        }


def _pod(entry: Entry, history: History) -> Obj | None:
    node = entry.field("spec.nodeName")
    containers = history.pod(node, (entry.key.namespace, entry.key.name)) if node else None
    if not containers:
        return None
    earliest = min(containers.values(), key=lambda usage: usage.time)
    listed = [{"name": name, "usage": _amounts(usage)} for name, usage in containers.items()]
    return {**_when(earliest), "containers": listed}


def _when(usage: Usage) -> Obj:
    moment = dt.datetime.fromtimestamp(usage.time // BILLION, dt.UTC)
    return {"timestamp": rfc3339(moment), "window": duration(usage.window)}


def _amounts(usage: Usage) -> Obj:
    return {"cpu": cpu(usage.cores), "memory": memory(usage.memory)}

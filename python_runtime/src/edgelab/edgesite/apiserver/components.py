"""ComponentStatuses, which are not stored: how the parts of this process are."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from edgelab.edgesite.apiserver import codec, computed
from edgelab.edgesite.apiserver.accept import Wanted
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.presenting import Presenter
from edgelab.edgesite.apiserver.reads import Page, parse_filter
from edgelab.edgesite.apiserver.request import ResourcePath
from edgelab.edgesite.store import Entry, Key, Store
from edgelab.objects.status import not_found

Obj = dict[str, Any]

NAMES = ("scheduler", "controller-manager", "etcd-0")


class ComponentStatuses:
    """Answers what can be asked of them."""

    def __init__(self, store: Store, presenter: Presenter) -> None:
        self._store = store
        self._presenter = presenter

    async def answer(self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted) -> bytes:
        """One or all. Raises ApiError 404 or 405."""
        computed.check(request, kind, path)
        query = request.query
        if not path.name:
            where = parse_filter(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
            entries = [_entry(kind, name, self._store) for name in NAMES]
            page = Page([entry for entry in entries if where.matches(entry)], 0, "", None)
            return self._presenter.many(kind, page, wanted, query)
        if path.name not in NAMES:
            raise not_found("componentstatus", path.name)
        return self._presenter.one(kind, _entry(kind, path.name, self._store).data, wanted, query)


def _entry(kind: Kind, name: str, store: Store) -> Entry:
    """Scheduler and controllers are parts of whoever answers; the store may refuse writes."""
    refusal = store.refusal if name == "etcd-0" else None
    condition: Obj = {"type": "Healthy", "status": "True", "message": "ok"}
    if refusal is not None:
        condition = {"type": "Healthy", "status": "False", "message": str(refusal)}
    obj = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name},
        "conditions": [condition],
    }
    return Entry(Key(kind.bucket, "", name), 0, codec.encode(obj))

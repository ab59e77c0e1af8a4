"""The ResourceQuota plugin: refuses what a namespace has no room for, and counts what it admits.

`status.used` of the quotas is what counts, as long as it stands for the limits that are wanted; the
controller keeps it when objects change and go. It is written here at once, in the same step in which
the object is: neither can be without the other. Fact: apiserver
`pkg/admission/plugin/resourcequota/controller.go`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any, NamedTuple

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.podadmission import of_namespace, refused
from edgelab.edgesite.quota import amounts, pods
from edgelab.edgesite.quota.amounts import Amounts
from edgelab.edgesite.quota.usage import CLAIMS, PODS, SERVICES, Counted, covers, kind_of, usage
from edgelab.edgesite.store import Entry, Key, Store
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

QUOTAS = "resourcequotas"


class _Write(NamedTuple):
    """What is to be stored, and when."""

    kind: Kind
    obj: Obj
    old: Obj | None
    now: dt.datetime

    @property
    def counted(self) -> Counted:
        return Counted(self.kind.group, self.kind.plural)

    def refused(self, why: str) -> ApiError:
        return refused(self.kind.plural, self.kind.group, self.obj, why)


class Quotas:
    """The plugin for the objects of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def check(
        self, kind: Kind, obj: Obj, old: Obj | None, *, subresource: str = "", dry_run: bool = False
    ) -> None:
        """Raises ApiError 403 for an object that its namespace has no room for."""
        write = _Write(kind, obj, old, self._clock.now())
        if not _handles(write.counted, obj, old, subresource):
            return
        store, metadata = self._store, obj["metadata"]
        charges = [
            (quota, charged)
            for quota in of_namespace(store, QUOTAS, metadata.get("namespace") or "")
            if (charged := _charge(store, quota, write)) is not None
        ]
        if dry_run:
            return
        if old is None and store.head(Key(kind.bucket, metadata["namespace"], metadata["name"])) is not None:
            return  # it will not be created
        for quota, charged in charges:
            _put(store, quota, charged)


def _handles(kind: Counted, obj: Obj, old: Obj | None, subresource: str) -> bool:
    """Whether a write of this kind can take more."""
    if old is None:
        return not subresource
    if kind == PODS:
        return subresource == "resize" or (not subresource and pods.ends(obj) != pods.ends(old))
    return not subresource and kind in (SERVICES, CLAIMS)


def _charge(store: Store, quota: Obj, write: _Write) -> Amounts | None:
    """What a quota will have used with the object; None when nothing is to be written. Raises ApiError."""
    kind, spec = write.counted, quota.get("spec") or {}
    hard = amounts.parse_all(spec.get("hard"))
    names = [name for name in hard if kind_of(name) == kind]
    if not names or not covers(spec, kind, write.obj):
        return None
    name = quota["metadata"]["name"]
    if kind == PODS and (missing := pods.unspecified(names, write.obj)):
        raise write.refused(f"failed quota: {name}: {missing}")
    asked = _asked(write, spec, hard)
    if not asked:
        return None
    recorded = _recorded(quota)
    used = recorded if recorded is not None else _counted(store, spec, write)
    total = dict(used)
    amounts.add(total, asked)
    over = [resource for resource in asked if total[resource].value > hard[resource].value]
    if over:
        parts = (("requested", asked), ("used", used), ("limited", hard))
        said = ", ".join(f"{word}: {amounts.text(over, found)}" for word, found in parts)
        raise write.refused(f"exceeded quota: {name}, {said}")
    return total if recorded is not None else None


def _asked(write: _Write, spec: Obj, hard: Amounts) -> Amounts:
    """What the object takes of the limited resources more than it did."""
    kind, old, asked = write.counted, write.old, Amounts()
    before = usage(kind, old, write.now) if old is not None and covers(spec, kind, old) else {}
    for resource, amount in usage(kind, write.obj, write.now).items():
        more = amount.value - before[resource].value if resource in before else amount.value
        if resource in hard and more > 0:
            asked[resource] = amount._replace(value=more)
    return asked


def _recorded(quota: Obj) -> Amounts | None:
    """What a quota's status says is used; None while it does not stand for the limits that are wanted."""
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    wanted = (quota.get("spec") or {}).get("hard") or {}
    if not amounts.equal(amounts.parse_all(hard), amounts.parse_all(wanted)):
        return None
    return amounts.parse_all(used)


def _counted(store: Store, spec: Obj, write: _Write) -> Amounts:
    """What objects of the kind use now."""
    kind, namespace = write.counted, write.obj["metadata"]["namespace"]
    total: Amounts = {name: amounts.NOTHING for name in spec.get("hard") or () if kind_of(name) == kind}
    for found in of_namespace(store, write.kind.bucket, namespace):
        if covers(spec, kind, found):
            amounts.add(total, usage(kind, found, write.now))
    return total


def _put(store: Store, quota: Obj, used: Amounts) -> None:
    """Put a quota's new status in the same batch as the object that it was asked for."""
    shown = {name: str(amount) for name, amount in used.items()}
    metadata = dict(quota["metadata"])
    stored = {**quota, "metadata": metadata, "status": {**quota["status"], "used": shown}}

    def encode(revision: int) -> bytes:
        metadata["resourceVersion"] = str(revision)
        return codec.encode(stored)

    written = store.put(Key(QUOTAS, metadata["namespace"], metadata["name"]), encode)
    written.add_done_callback(_heard)


def _heard(written: asyncio.Future[Entry]) -> None:
    """A disk that refuses fails the object's write as well, and that is told."""
    if not written.cancelled():
        written.exception()

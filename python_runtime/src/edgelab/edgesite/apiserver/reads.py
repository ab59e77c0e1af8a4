"""The verbs that read: list and watch with selectors, pages and revisions."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.custom import conversion
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.store import Compacted, Ended, Entry, Event, Overrun, Store
from edgelab.objects.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_fields,
    parse_labels,
)
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

ALWAYS = ("metadata.name", "metadata.namespace")
INVOLVED = tuple(
    f"involvedObject.{field}"
    for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
)
SELECTABLE: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "nodes": ("spec.unschedulable",),
    "events": (*INVOLVED, "reason", "reportingComponent", "source", "type"),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "batch/jobs": ("status.successful",),
    "replicationcontrollers": ("status.replicas",),
    "apps/replicasets": ("status.replicas",),
    "certificates.k8s.io/certificatesigningrequests": ("spec.signerName",),
}
EXPIRED = "The resourceVersion for the provided watch is too old."
CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Label and field selectors of a request."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = field(default_factory=FieldSelector)

    def matches(self, entry: Entry) -> bool:
        """Whether an object is selected."""
        if self.labels and not self.labels.matches(entry.labels):
            return False
        return not self.fields or self.fields.matches(entry.field)

    def __bool__(self) -> bool:
        return bool(self.labels) or bool(self.fields)


def parse_filter(kind: Kind, labels: str, fields: str) -> Filter:
    """The selectors of a request. Raises ApiError 400."""
    try:
        found = Filter(parse_labels(labels), parse_fields(fields))
    except SelectorError as error:
        raise ApiError(400, f"unable to parse requirement: {error}") from error
    special = kind.custom.selectable if kind.custom is not None else SELECTABLE.get(kind.bucket, ())
    for term in found.fields.terms:
        if term.field not in ALWAYS and term.field not in special:
            if special or kind.custom is not None:
                raise ApiError(400, f"field label not supported: {term.field}")
            known = ", ".join(f'"{name}"' for name in (*ALWAYS, *special))
            raise ApiError(400, f'"{term.field}" is not a known field selector: only {known}')
    return found


class Page(NamedTuple):
    """A list's answer: entries, the revision they are from, where to go on, and how many are left."""

    entries: list[Entry]
    revision: int
    next: str
    remaining: int | None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """`limit` 0 is no limit; `version` and `match` are resourceVersion and resourceVersionMatch."""

    limit: int = 0
    token: str = ""
    version: str = ""
    match: str = ""


class Reader:
    """Lists and watches of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def page(self, kind: Kind, namespace: str, where: Filter, options: ListOptions) -> Page:
        """The objects of a kind. Raises ApiError 410 for a revision that is no longer kept."""
        revision, after = self.store.revision, ("", "")
        if options.token:
            revision, after = _read_token(options.token)
        elif options.match == "Exact":
            revision = revision_of(options.version)
        if options.version not in ("", "0") and revision_of(options.version) > self.store.revision:
            raise _too_large(revision_of(options.version), self.store.revision)
        candidates = await self._candidates(kind, namespace, revision, exact=options.match == "Exact")
        if after != ("", ""):
            candidates = (e for e in candidates if (e.key.namespace, e.key.name) > after)
        found = [entry for entry in candidates if where.matches(entry)] if where else list(candidates)
        page = found[: options.limit] if options.limit else found
        await conversion.prepare(kind, lambda: [entry.data for entry in page])
        if len(page) == len(found):
            return Page(found, revision, "", None)
        remaining = None if where else len(found) - options.limit
        return Page(page, revision, _token(revision, page[-1]), remaining)

    async def _candidates(self, kind: Kind, namespace: str, revision: int, *, exact: bool) -> Iterable[Entry]:
        if revision == self.store.revision:
            return self.store.entries(kind.bucket, namespace)
        try:
            entries = await self.store.list_at(kind.bucket, revision)
        except Compacted as error:
            text = (
                f"The resourceVersion for the provided list is too old: {revision}"
                if exact
                else CONTINUE_EXPIRED
            )
            raise ApiError(410, text) from error
        return [entry for entry in entries if not namespace or entry.key.namespace == namespace]

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        where: Filter,
        version: str,
        *,
        initial: bool = False,
        patience: float | None = None,
    ) -> AsyncGenerator[list[Change], None]:
        """Batches of changes. With no version (or 0, or `initial`) the present objects come first as
        ADDED; after `initial` ones an INITIAL_END. A batch is empty when `patience` seconds brought
        nothing. Raises ApiError 410.
        """
        with self.store.watch_now(kind.bucket, namespace) as watch:
            now = self.store.revision
            if version in ("", "0") or initial:
                entries = self.store.entries(kind.bucket, namespace)
                batch = [Change("ADDED", entry, None) for entry in entries if where.matches(entry)]
                if initial:
                    batch.append(Change(INITIAL_END, None, None, now))
                if batch:
                    await _readable(kind, batch)
                    yield batch
            else:
                await self._replay(watch, revision_of(version), now)
            try:
                while True:
                    events = await watch.events(patience)
                    changes = [change for event in events if (change := select(event, where)) is not None]
                    await _readable(kind, changes)
                    if changes or not events:
                        yield changes
            except Ended:
                return
            except Overrun as error:
                raise ApiError(410, EXPIRED) from error

    async def _replay(self, watch: Any, after: int, now: int) -> None:
        if after > now:
            raise _too_large(after, now)
        try:
            await self.store.replay(watch, after, now)
        except Compacted as error:
            raise ApiError(410, f"too old resource version: {after}") from error


async def _readable(kind: Kind, changes: list[Change]) -> None:
    await conversion.prepare(kind, lambda: [c.entry.data for c in changes if c.entry is not None])


INITIAL_END = "INITIAL_END"


class Change(NamedTuple):
    """What a watcher is told: type, object, and the event that is shared among watchers."""

    type: str
    entry: Entry | None
    event: Event | None
    revision: int = 0

    def frame(self, kind: Kind) -> bytes:
        """The line for the wire; made once for all watchers of the same version."""
        assert self.entry is not None
        if self.event is None:
            return _frame(self.type, codec.convert(self.entry.data, kind))
        key = f"{self.type}|{kind.api_version}"
        found = self.event.frames.get(key)
        if found is None:
            found = self.event.frames[key] = _frame(self.type, codec.convert(self.entry.data, kind))
        return found


def _frame(kind: str, data: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + data + b"}\n"


def select(event: Event, where: Filter) -> Change | None:
    """The event as someone with these selectors sees it, or None."""
    if not where:
        return Change(event.type, event.entry, event)
    was = event.previous is not None and where.matches(event.previous)
    if event.deleted:
        return Change("DELETED", event.entry, event) if was or where.matches(event.entry) else None
    if where.matches(event.entry):
        return Change("MODIFIED" if was else "ADDED", event.entry, event)
    if not was or event.previous is None:
        return None
    left = codec.decode(event.previous.data)
    left["metadata"]["resourceVersion"] = str(event.entry.revision)
    entry = Entry(event.entry.key, event.entry.revision, codec.encode(left))
    return Change("DELETED", entry, None)


def bookmark(kind: Kind, revision: int, *, initial_end: bool = False) -> bytes:
    """The line that only tells how far the watch has come."""
    metadata: Obj = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
    return _frame("BOOKMARK", codec.encode(body))


def revision_of(text: str) -> int:
    """A resourceVersion as a number. Raises ApiError 400."""
    if not (text.isascii() and text.isdecimal()):
        raise ApiError(400, f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _too_large(wanted: int, present: int) -> ApiError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(
        504,
        f"Timeout: Too large resource version: {wanted}, current: {present}",
        details={"causes": causes, "retryAfterSeconds": 1},
    )


def _token(revision: int, last: Entry) -> str:
    raw = msgspec.json.encode([revision, last.key.namespace, last.key.name])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        revision, namespace, name = msgspec.json.decode(raw, type=tuple[int, str, str])
    except (ValueError, msgspec.MsgspecError) as error:
        raise ApiError(400, "continue key is not valid") from error
    return revision, (namespace, name)

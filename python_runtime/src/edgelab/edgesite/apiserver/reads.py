"""The verbs that read: list and watch with selectors, pages and revisions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver import codec, continuation
from edgelab.edgesite.apiserver.continuation import Place
from edgelab.edgesite.apiserver.custom import conversion
from edgelab.edgesite.apiserver.fieldlabels import ABSENT, resolve
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.listoptions import EXACT, ListOptions
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

EXPIRED = "The resourceVersion for the provided watch is too old."
LIST_EXPIRED = "The resourceVersion for the provided list is too old."
WITH_CONTINUE = "specifying resource version is not allowed when using continue"


@dataclass(frozen=True, slots=True)
class Filter:
    """Label and field selectors of a request."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = field(default_factory=FieldSelector)
    builtin: bool = True

    def matches(self, entry: Entry) -> bool:
        """Whether an object is selected."""
        if self.labels and not self.labels.matches(entry.labels):
            return False
        return not self.fields or self.fields.matches(
            lambda path: entry.field(path) or (ABSENT.get(path, "") if self.builtin else "")
        )

    def __bool__(self) -> bool:
        return bool(self.labels) or bool(self.fields)


def parse_filter(kind: Kind, labels: str, fields: str) -> Filter:
    """The selectors of a request. Raises ApiError 400."""
    try:
        wanted, selector = parse_labels(labels), parse_fields(fields)
    except SelectorError as error:
        raise ApiError(400, str(error)) from error
    return Filter(wanted, resolve(kind, selector), kind.custom is None)


class Page(NamedTuple):
    """A list's answer: entries, the revision they are from, where to go on, and how many are left."""

    entries: list[Entry]
    revision: int
    next: str
    remaining: int | None


class Reader:
    """Lists and watches of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def check(self, version: str) -> None:
        """A get may ask for a resourceVersion that has been reached. Raises ApiError 500 or 504."""
        if revision_of(version) > self.store.revision:
            raise _too_large(revision_of(version), self.store.revision)

    async def page(self, kind: Kind, namespace: str, where: Filter, options: ListOptions) -> Page:
        """The objects of a kind. Raises ApiError 410 for a revision that is no longer kept."""
        place = self._place(kind, namespace, options)
        exact, limit = options.match == EXACT or bool(options.token), options.limit
        if options.version == "0":
            limit = 0  # kube-apiserver answers that from its cache, and in one piece
        candidates = await self._candidates(kind, namespace, place, exact=exact)
        if place.after != ("", ""):
            candidates = (e for e in candidates if (e.key.namespace, e.key.name) > place.after)
        found = [entry for entry in candidates if where.matches(entry)] if where else list(candidates)
        page = found[:limit] if limit else found
        await conversion.prepare(kind, lambda: [entry.data for entry in page])
        if len(page) == len(found):
            return Page(found, place.revision, "", None)
        remaining = None if where else len(found) - limit
        last = (page[-1].key.namespace, page[-1].key.name)
        return Page(page, place.revision, continuation.encode(place.revision, last, namespace), remaining)

    def _place(self, kind: Kind, namespace: str, options: ListOptions) -> Place:
        """The revision that is asked for, and where to go on."""
        now = self.store.revision
        if options.token:
            place = continuation.decode(options.token, namespace, namespaced=kind.resource.namespaced)
            if options.version not in ("", "0"):
                raise ApiError(400, WITH_CONTINUE)
            if place.revision == continuation.INCONSISTENT:
                return place._replace(revision=now)
            if place.revision > now:
                raise _too_large(place.revision, now, exact=True)
            return place
        wanted = _listed_revision(options.version) if options.version not in ("", "0") else 0
        if wanted > now:
            raise _too_large(wanted, now, exact=options.match == EXACT)
        return Place(wanted if options.match == EXACT else now, ("", ""))

    async def _candidates(self, kind: Kind, namespace: str, place: Place, *, exact: bool) -> Iterable[Entry]:
        if place.revision == self.store.revision or not exact:
            return self.store.entries(kind.bucket, namespace)
        try:
            entries = await self.store.list_at(kind.bucket, place.revision)
        except Compacted as error:
            if place.after == ("", ""):
                raise ApiError(410, LIST_EXPIRED) from error
            token = continuation.encode(continuation.INCONSISTENT, place.after, namespace)
            raise ApiError(410, continuation.EXPIRED_GO_ON, metadata={"continue": token}) from error
        return [entry for entry in entries if not namespace or entry.key.namespace == namespace]

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        where: Filter,
        version: str,
        *,
        initial: bool | None = None,
        patience: Callable[[], float | None] = lambda: None,
    ) -> AsyncGenerator[list[Change], None]:
        """Batches of changes. With no version (or 0, or `initial`) the present objects come first as
        ADDED; after `initial` ones an INITIAL_END; with `initial` False and no version none come. A batch
        is empty when `patience` (seconds, asked before each) brought nothing. Raises ApiError 410.
        """
        with self.store.watch_now(kind.bucket, namespace) as watch:
            now = self.store.revision
            if version not in ("", "0") and revision_of(version) > now:
                raise _too_large(revision_of(version), now)
            if initial or (initial is None and version in ("", "0")):
                entries = self.store.entries(kind.bucket, namespace)
                batch = [Change("ADDED", entry, None) for entry in entries if where.matches(entry)]
                if initial:
                    batch.append(Change(INITIAL_END, None, None, now))
                if batch:
                    await _readable(kind, batch)
                    yield batch
            elif version not in ("", "0"):
                await self._replay(watch, revision_of(version), now)
            try:
                while True:
                    events = await watch.events(patience())
                    changes = [change for event in events if (change := select(event, where)) is not None]
                    await _readable(kind, changes)
                    if changes or not events:
                        yield changes
            except Ended:
                return
            except Overrun as error:
                raise ApiError(410, EXPIRED) from error

    async def _replay(self, watch: Any, after: int, now: int) -> None:
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
    """The resourceVersion of a get or a watch as a number. Raises ApiError 500, as kube-apiserver does."""
    problem = _wrong_revision(text)
    if problem:
        raise ApiError(500, problem, reason="")
    return int(text)


def _listed_revision(text: str) -> int:
    problem = _wrong_revision(text)
    if problem:
        raise ApiError(400, f"invalid resource version: {problem}")
    return int(text)


def _wrong_revision(text: str) -> str:
    start = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
    if not (text.isascii() and text.isdecimal()):
        return start + "invalid syntax"
    return start + "value out of range" if int(text) >= 2**64 else ""


def _too_large(wanted: int, present: int, *, exact: bool = False) -> ApiError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(
        504,
        f"Timeout: Too large resource version: {wanted}, current: {present}",
        details={"causes": causes, **({} if exact else {"retryAfterSeconds": 1})},
    )

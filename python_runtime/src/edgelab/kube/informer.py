"""List and watch: a local copy of one collection that follows the server.

Receives: objects of one kind from a `ListWatch`. Gives: `store`, and calls of handlers, in order, with
only coherent events: ADDED of what was unknown, MODIFIED of what is known, DELETED once. What
changed while there was no connection (deletions too) is delivered after the next list. An object
deleted and created again under its name is DELETED, then ADDED.
With the version at which an earlier run stood, what has happened since then is told first, change by
change, as far as the server still knows it.
When the server is gone it keeps the last state and tries again for ever, with growing delays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import ListWatch, Obj, Resource
from edgelab.objects.metadata import key_of
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.kube.informer")

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"

Key: TypeAlias = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""

Handler: TypeAlias = Callable[[str, Obj | None, Obj], None]
"""`handler(event_type, old, new)`: `old` is None for ADDED; for DELETED `new` is the last known state.
It must not change the objects and must not block."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
REPLAY_SECONDS = 60.0
"""How long the changes since an earlier run may be in coming."""
HEALTHY_SECONDS = 10.0
"""A watch that lasted so long was no failure: the next one starts without delay."""


class Informer:
    """A module: `run` it in a task group, `await wait_synced()` before trusting `store`."""

    def __init__(
        self,
        api: ListWatch,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Callable[[Obj], Obj] | None = None,
        clock: Clock = SYSTEM,
        since: str = "",
    ) -> None:
        """`transform` cuts an object down to what is to be kept (its metadata must stay).

        `since` is the `version` at which an earlier run of the program stood.
        """
        self.name = f"informer/{resource.plural}"
        self.resource = resource
        self.store: dict[Key, Obj] = {}
        """The collection, by key. Read only: objects are shared with every handler."""
        self.last_error: str | None = None
        """Why there is no connection now; None while all is well."""
        self.replaying = False
        """Whether handlers are told of what happened before this run."""
        self._since = since
        self._api = api
        self._namespace = namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._transform = transform
        self._clock = clock
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._delays = _delays()

    @property
    def version(self) -> str:
        """The resourceVersion that the store stands at; empty before the first list."""
        return self._version

    @property
    def synced(self) -> bool:
        """Whether the collection has been listed at least once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait for the first list to be in the store and with the handlers."""
        await self._synced.wait()

    def add_handler(self, handler: Handler) -> None:
        """Call `handler` for every event; what is in the store already is ADDED at once."""
        self._handlers.append(handler)
        for obj in list(self.store.values()):
            self._call(handler, ADDED, None, obj)

    async def run(self) -> None:
        """Follow the collection until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                # Expired history is what a list is for; for any other refusal it is the safe answer.
                self._version = ""
                await self._pause(None if error.code == 410 and not self.last_error else error)
            except Unreachable as error:
                await self._pause(error)

    async def _list(self) -> None:
        items, version = await self._api.list(self.resource, self._namespace, **self._selectors)
        self._recovered()
        fresh = {key_of(obj): obj for obj in items}
        if self._since:
            await self._replay(outstanding(fresh, self._since, version), version)
        for key in [key for key in self.store if key not in fresh]:
            self._removed(key, self.store[key])
        for key, obj in fresh.items():
            self._present(key, obj)
        self._version = version
        self._synced.set()

    async def _replay(self, pending: dict[Key, str], version: str) -> None:
        """Tell of changes between `since` and the list, but for the last one of each object."""
        self.replaying = True
        try:
            if pending:
                async with asyncio.timeout(REPLAY_SECONDS):
                    await self._past(pending, int(version))
        except ApiError as error:
            log.info("%s: what happened since the last run is not known any more: %s", self.name, error)
        except TimeoutError:
            log.warning("%s: what happened since the last run does not come", self.name)
        finally:
            self.replaying = False
        self._since = ""

    async def _past(self, pending: dict[Key, str], end: int) -> None:
        stream = self._api.watch(
            self.resource,
            self._namespace,
            resource_version=self._since,
            opened=self._connected,
            **self._selectors,
        )
        try:
            async for kind, obj in stream:
                key, at = key_of(obj), obj["metadata"]["resourceVersion"]
                if int(at) > end:
                    return
                if pending.get(key) == at:
                    del pending[key]  # it is in the list
                elif kind == DELETED:
                    self._removed(key, obj)
                elif kind != "BOOKMARK":
                    self._present(key, obj)
                self._since = at  # from where it goes on when the connection breaks
                if not pending:
                    return
        finally:
            await _close(stream)

    async def _watch(self) -> None:
        began = self._clock.monotonic()
        stream = self._api.watch(
            self.resource,
            self._namespace,
            resource_version=self._version,
            opened=self._connected,
            **self._selectors,
        )
        try:
            async for kind, obj in stream:
                self._recovered()
                if kind == DELETED:
                    self._removed(key_of(obj), obj)
                elif kind != "BOOKMARK":
                    self._present(key_of(obj), obj)
                self._version = obj["metadata"]["resourceVersion"]
        finally:
            await _close(stream)
        if self._clock.monotonic() - began < HEALTHY_SECONDS:
            await self._clock.sleep(next(self._delays))

    async def _pause(self, error: Exception | None) -> None:
        """Wait before the next attempt; the first failure of an outage is told, the others are not."""
        if error is not None and self.last_error is None:
            log.warning("%s: %s; trying again", self.name, error)
        self.last_error = str(error) if error is not None else self.last_error
        await self._clock.sleep(next(self._delays))

    def _connected(self) -> None:
        if self.last_error is not None:
            log.info("%s: connected again", self.name)
            self.last_error = None

    def _recovered(self) -> None:
        self._connected()
        self._delays = _delays()

    def _present(self, key: Key, obj: Obj) -> None:
        old = self.store.get(key)
        if old is not None:
            before, after = old["metadata"], obj["metadata"]
            if before.get("uid") != after.get("uid"):
                self._removed(key, old)
                old = None
            elif before.get("resourceVersion") == after.get("resourceVersion"):
                return
        if self._transform is not None:
            obj = self._transform(obj)
        self.store[key] = obj
        self._tell(ADDED if old is None else MODIFIED, old, obj)

    def _removed(self, key: Key, last: Obj) -> None:
        old = self.store.pop(key, None)
        if old is not None:
            self._tell(DELETED, old, last)

    def _tell(self, event_type: str, old: Obj | None, new: Obj) -> None:
        for handler in self._handlers:
            self._call(handler, event_type, old, new)

    def _call(self, handler: Handler, event_type: str, old: Obj | None, new: Obj) -> None:
        try:
            handler(event_type, old, new)
        except Exception:  # a defect in one handler must not cost the others their events
            log.exception("%s: a handler failed on %s of %s", self.name, event_type, "/".join(key_of(new)))


def outstanding(fresh: dict[Key, Obj], since: str, version: str) -> dict[Key, str]:
    """The objects of a list that have changed after `since`, with their versions.

    Nothing when the list is not newer, as after a restore, or versions are no numbers.
    """
    if not (since.isdecimal() and version.isdecimal() and int(since) < int(version)):
        return {}
    versions = {key: str(obj["metadata"].get("resourceVersion")) for key, obj in fresh.items()}
    return {key: at for key, at in versions.items() if at.isdecimal() and int(at) > int(since)}


def _delays() -> Iterator[float]:
    return backoff.delays(FIRST_DELAY, LONGEST_DELAY)


async def _close(stream: AsyncIterator[Any]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()

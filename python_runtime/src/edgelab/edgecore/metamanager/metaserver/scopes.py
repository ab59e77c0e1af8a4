"""What is watched on this node, and that CloudCore knows of it.

Whoever opens a scope waits until CloudCore pushes its objects and a list of them is stored, so that nothing
between the two is missed. When CloudCore comes back it is told all scopes, and each is listed again: what
changed or went away meanwhile is told to the watches like any change.
Without the cloud: scopes open at once on what is stored.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.metamanager.metaserver.remote import Remote, Unavailable
from edgelab.edgecore.metamanager.metaserver.selection import Selection, parse
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Application, Key, parse_key

log = logging.getLogger(__name__)

SUSPECTS = 64
"""Objects that are asked for one by one after a list of a selection; the others stay as they are."""


class ListMeta(msgspec.Struct, rename={"resource_version": "resourceVersion", "go_on": "continue"}):
    """Of a list: its version, and whether there is more."""

    resource_version: str = ""
    go_on: str = ""


class ObjectList(msgspec.Struct):
    """The answer to a list."""

    kind: str = ""
    items: list[Obj] | None = None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)

    @property
    def version(self) -> int:
        """The list's version; 0 when it has none."""
        text = self.metadata.resource_version
        return int(text) if text.isdecimal() else 0


LIST = msgspec.json.Decoder(ObjectList)


@dataclass(eq=False)
class Scope:
    """A resource, namespace and selection that somebody watches."""

    key: Key
    options: dict[str, Any]
    selection: Selection
    application: Application
    users: int = 0
    opened: asyncio.Task[ApiError | None] | None = None
    """Done once it is fed, or the cloud is away; gives the error with which CloudCore refused."""
    refusals: set[asyncio.Queue[Any]] = field(default_factory=set)
    """Where to put the ApiError with which CloudCore ends it."""


class Scopes:
    """A module."""

    name = "metaserver/scopes"

    def __init__(self, remote: Remote, mirror: Mirror, clock: Clock) -> None:
        self._remote = remote
        self._mirror = mirror
        self._clock = clock
        self._scopes: dict[str, Scope] = {}
        self._tasks = Supervisor(self.name)
        self._kick = asyncio.Event()
        self._complaint = ""

    def connection_changed(self, connected: bool) -> None:
        """The cloud came or went (`Hub.on_connection`)."""
        if connected:
            self._kick.set()

    async def run(self) -> NoReturn:
        """Bring CloudCore up to date after each connection."""
        try:
            while True:
                await self._kick.wait()
                self._kick.clear()
                await self._renew()
        finally:
            await self._tasks.close()

    async def open(self, key: Key, labels: str, fields: str) -> Scope:
        """Begin to be told of objects. Raises ApiError when CloudCore refuses."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        options = {name: text for name, text in selectors.items() if text}
        watch = {**options, "watch": True, "resourceVersionMatch": "NotOlderThan", "sendInitialEvents": True}
        asked = self._remote.application(key, "watch", watch)
        scope = self._scopes.get(asked.id)
        if scope is None:
            scope = self._scopes[asked.id] = Scope(key, options, parse(labels, fields), asked)
            scope.opened = self._tasks.spawn(self._establish(scope), str(key))
        scope.users += 1
        assert scope.opened is not None
        try:
            refused = await asyncio.shield(scope.opened)
        except BaseException:
            self.close(scope)
            raise
        if refused is not None:
            scope.users -= 1
            raise refused
        return scope

    def close(self, scope: Scope) -> None:
        """End one use of a scope; with the last one CloudCore is told what is left."""
        scope.users -= 1
        if scope.users == 0 and self._scopes.pop(scope.application.id, None) is not None:
            self._tasks.spawn(self._tell(), "tell")

    def _watches(self) -> dict[str, Application]:
        return {identity: scope.application for identity, scope in self._scopes.items()}

    async def _tell(self) -> None:
        try:
            await self._remote.sync(self._watches())
        except Unavailable as error:
            log.debug("CloudCore was not told of the end of a watch: %s", error)

    async def _establish(self, scope: Scope) -> ApiError | None:
        try:
            await self._remote.ask(scope.application)
            await self._reconcile(scope)
        except ApiError as error:
            self._scopes.pop(scope.application.id, None)
            return error
        except Unavailable as error:
            self._complain(str(error))
            if self._remote.connected:
                self._kick.set()
        return None

    def _complain(self, why: str) -> None:
        level = logging.DEBUG if why == self._complaint else logging.WARNING
        log.log(level, "watches show what is stored on this node: %s", why)
        self._complaint = why

    async def _renew(self) -> None:
        """Say again what is watched, and list all of it, until that is done or the cloud has gone."""
        waits = delays(1.0, 30.0)
        while self._remote.connected and self._scopes:
            try:
                failed = await self._remote.sync(self._watches())
                for identity, answer in failed.items():
                    self._refuse(identity, ApiError.from_status(answer.failure()))
                for scope in list(self._scopes.values()):
                    await self._list_again(scope)
            except Unavailable as error:
                self._complain(str(error))
                await self._clock.sleep(next(waits))
            else:
                self._complaint = ""
                return

    async def _list_again(self, scope: Scope) -> None:
        try:
            await self._reconcile(scope)
        except ApiError as error:
            self._refuse(scope.application.id, error)

    def _refuse(self, identity: str, error: ApiError) -> None:
        scope = self._scopes.pop(identity, None)
        if scope is not None:
            log.warning("CloudCore ends the watch of %s: %s", scope.key, error)
            for queue in scope.refusals:
                queue.put_nowait(error)

    async def _reconcile(self, scope: Scope) -> None:
        """Store the list of what the scope selects. Raises Unavailable and ApiError."""
        try:
            listed = LIST.decode(await self._remote.call(scope.key, "list", scope.options))
        except msgspec.DecodeError as error:
            raise Unavailable(f"CloudCore's answer cannot be read: {error}") from None
        self._mirror.kinds.learn(scope.key.resource, listed.kind.removesuffix("List"))
        items = [item for item in listed.items or [] if (item.get("metadata") or {}).get("name")]
        version = listed.version
        whole = scope.selection.everything or (bool(scope.key.name) and not scope.selection.labels)
        written = self._mirror.replace(scope.key, items, version, whole=whole)
        if written is not None:
            await asyncio.wait({written})
        if not whole:
            present = {str(self._mirror.address(item)) for item in items}
            await self._ask_after(scope, present, version)

    async def _ask_after(self, scope: Scope, present: set[str], version: int) -> None:
        """What was selected and is not any more has changed or gone: only asking tells which."""
        rows = self._mirror.older(scope.key, version)
        suspects = [key for key, _, data in rows if key not in present and _selects(scope, data)]
        for text in suspects[:SUSPECTS]:
            key = parse_key(text)
            try:
                self._mirror.keep((await self._remote.get(key))[1])
            except ApiError as error:
                if error.code == 404:
                    self._mirror.forget(key)


def _selects(scope: Scope, data: bytes) -> bool:
    return scope.selection.matches(msgspec.json.decode(data))

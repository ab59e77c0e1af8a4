"""MetaManager (KubeEdge `edge/pkg/metamanager`).

Receives: the cloud's objects (groups `resource` and `func`) and edged's requests. Sends: an
acknowledgement for each object, after it is committed; edged's requests, with their answers stored.
Stores: objects in `meta`, pod statuses that the cloud has not seen yet. Without the cloud: answers
from the store; a pod's newest status waits for the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.edgecore.interfaces import (
    DeviceConsumer,
    Hub,
    MapperConsumer,
    NoAnswer,
    Obj,
    Offline,
    PodConsumer,
    RemoteError,
)
from edgelab.edgecore.metamanager import answers, rows, tokens
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol import message as wire
from edgelab.protocol import resource
from edgelab.protocol.message import Message

if TYPE_CHECKING:
    from edgelab.edgecore.metamanager.mirror import Mirror

log = logging.getLogger(__name__)

UNDER_WAY = 256
"""Messages from the cloud that may wait for their commit; then reading from CloudCore stops."""

STATUS_DEADLINE = 20.0
"""Seconds for an answer to a lease or a patch. The original waits for 60, three times."""

RETRY_KEPT = 10.0
"""Seconds after which a kept status is sent again when there was no answer."""

NOT_ACKNOWLEDGED = frozenset({"podpatch", "nodepatch", "lease"})


class MetaManager:
    """The module, and `interfaces.Meta` for edged."""

    name = "metamanager"

    def __init__(self, store: Store, hub: Hub, clock: Clock, *, query_deadline: float) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._query_deadline = query_deadline
        self._pods: PodConsumer | None = None
        self._devices: DeviceConsumer | None = None
        self._mappers: MapperConsumer | None = None
        self._mirror: Mirror | None = None
        self._inbox: asyncio.Queue[tuple[Message, Obj, asyncio.Future[None]]] = asyncio.Queue(UNDER_WAY)
        self._unsent: dict[str, Obj] = {}
        self._kick = asyncio.Event()
        hub.on_connection(self._connection_changed)

    def attach(
        self,
        *,
        pods: PodConsumer | None = None,
        devices: DeviceConsumer | None = None,
        mappers: MapperConsumer | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        """Name those who are told of changes; the mirror is what the MetaServer shows."""
        self._pods = pods or self._pods
        self._devices = devices or self._devices
        self._mappers = mappers or self._mappers
        self._mirror = mirror or self._mirror

    async def run(self) -> None:
        """Acknowledge what is committed; send what was kept for the cloud."""
        self._unsent = _kept_statuses(self._store)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._acknowledge(), name="metamanager/acknowledge")
            group.create_task(self._send_kept(), name="metamanager/kept")

    # From the cloud

    async def receive(self, message: Message) -> None:
        """Take over an object pushed by the cloud; waits while too many are uncommitted."""
        try:
            content = message.object()
        except msgspec.DecodeError:
            content = None
        where = resource.parse(message.route.resource)
        content = content if isinstance(content, dict) else {}
        statements = self._statements(message, where, content)
        if statements is None:
            log.warning("MetaManager cannot use %s", message.route)
            await self._answer(
                wire.error(message, "unknown operation or empty content", source="metamanager")
            )
            return
        await self._inbox.put((message, content, self._write(message, where, content, statements)))

    def _write(
        self, message: Message, where: resource.Resource, content: Obj, statements: list[Statement]
    ) -> asyncio.Future[None]:
        mirror = self._mirror
        if mirror is None:
            return self._store.submit(statements)
        work = mirror.pushed(message, where, content)
        own = statements if mirror.concerns(message, where, content) else []
        if work is None:
            return self._store.submit(own)
        done = self._store.submit([*own, *work.statements])
        done.add_done_callback(lambda future: mirror.settled(work, future))
        return done

    def _statements(self, message: Message, where: resource.Resource, content: Obj) -> list[Statement] | None:
        key = message.route.resource
        match message.route.operation:
            case _ if not isinstance(content.get("metadata") or {}, dict):
                return None
            case "insert" | "update" | "response" if content and where.type:
                return [rows.put(key, where.type, message.data())]
            case "delete" if where.type == "pod":
                return rows.drop_with_pod(where.namespace, where.name, _uid(content))
            case "delete":
                return [rows.drop_object(key, _uid(content))]
        return None

    async def _acknowledge(self) -> NoReturn:
        while True:
            message, content, committed = await self._inbox.get()
            try:
                await committed
            except sqlite3.Error as error:
                self._complain(message.route.resource, error)
                await self._answer(wire.error(message, str(error), source="metamanager"))
                continue
            self._tell(message, content)
            await self._answer(wire.reply(message, "OK"))

    async def _answer(self, message: Message) -> None:
        with contextlib.suppress(Offline):  # the cloud sends again what was not acknowledged
            await self._hub.send(message)

    def _tell(self, message: Message, content: Obj) -> None:
        where = resource.parse(message.route.resource)
        removed = message.route.operation == "delete"
        if self._mirror is not None and not self._mirror.concerns(message, where, content):
            return
        if where.type == "device" and self._devices is not None:  # whoever sent it, SyncController too
            if removed:
                self._devices.device_removed(f"{where.namespace}/{where.name}", _uid(content))
            else:
                self._devices.device_changed(content)
        if where.type in ("device", "devicemodel") and self._mappers is not None:
            self._mappers.object_changed(where.type, f"{where.namespace}/{where.name}")
        if removed and where.type == "pod":
            self._unsent.pop(_patch_key(where.namespace, where.name), None)
        if self._pods is None:
            return
        match where.type:
            case "pod" if removed:
                self._pods.pod_removed(where.namespace, where.name, _uid(content))
            case "pod":
                self._pods.pod_changed(content)
            case "configmap" | "secret":
                self._pods.config_changed(where.type, where.namespace, where.name)
            case "node" if not removed:
                self._pods.node_changed(content)

    # For edged: what is stored

    def pods(self) -> list[Obj]:
        """All stored pods."""
        return [msgspec.json.decode(value) for _, value in rows.of_type(self._store, "pod")]

    def node(self, name: str) -> Obj | None:
        """The stored Node."""
        return self._stored(resource.build(None, "node", name))

    async def config_map(self, namespace: str, name: str) -> Obj:
        """The ConfigMap."""
        return await self._stored_or_remote(resource.build(namespace, "configmap", name))

    async def secret(self, namespace: str, name: str) -> Obj:
        """The Secret."""
        return await self._stored_or_remote(resource.build(namespace, "secret", name))

    async def service_account_token(self, namespace: str, name: str, request: Obj) -> Obj:
        """A TokenRequest with its status; offline an older token serves until it expires."""
        key = tokens.key(namespace, name, request)
        stored, now = self._stored(key), self._clock.now()
        if stored is not None and tokens.is_fresh(stored, now):
            return stored
        where = resource.build(namespace, "serviceaccounttoken", name)
        try:
            answer = await self._ask("query", where, request, self._query_deadline)
            token = answers.plain(answer)
        except (Offline, NoAnswer):
            end = tokens.expires(stored) if stored is not None else None
            if stored is not None and end is not None and now < end:
                return stored
            raise
        await self._keep(rows.put(key, "serviceaccounttoken", answer.data()))
        return token

    # For edged: through the cloud

    async def query_node(self, name: str) -> Obj:
        """The Node from the cloud."""
        return await self._query(resource.build(None, "node", name))

    async def create_node(self, node: Obj) -> Obj:
        """Register the Node."""
        key = resource.build(None, "node", str(node["metadata"]["name"]))
        answer = await self._ask("insert", key, node, self._query_deadline)
        found = answers.wrapped(answer)
        self._learn("node", found)
        await self._keep(rows.put(key, "node", msgspec.json.encode(found)))
        return found

    async def update_node(self, node: Obj) -> None:
        """Send labels, annotations and taints. A Go CloudCore does not answer when it fails."""
        key = resource.build(None, "node", str(node["metadata"]["name"]))
        answers.confirmed(await self._ask("update", key, node, STATUS_DEADLINE))

    async def patch_node_status(self, name: str, patch: Obj) -> Obj:
        """Patch the Node's status. The stored Node follows with the cloud's own push."""
        where = resource.build(None, "nodepatch", name)
        found = answers.wrapped(await self._ask("patch", where, _text(patch), STATUS_DEADLINE))
        self._learn("node", found)
        return found

    async def patch_pod_status(self, namespace: str, name: str, patch: Obj) -> Obj:
        """Patch a Pod's status; kept when the cloud does not answer."""
        key = _patch_key(namespace, name)
        kept = self._unsent.pop(key, None)
        try:
            answer = await self._ask("patch", key, _text(patch), STATUS_DEADLINE)
        except (Offline, NoAnswer):
            if self._unsent.setdefault(key, patch) is patch:  # else a newer one came meanwhile
                await self._keep(rows.put(key, "podpatch", msgspec.json.encode(patch)), durable=False)
                self._kick.set()
            raise
        if kept is not None:
            await self._keep(rows.drop(key), durable=False)
        found = answers.wrapped(answer)
        self._learn("pod", found)
        return found

    async def create_pod(self, pod: Obj) -> Obj:
        """Create a mirror pod. It is stored when the cloud pushes it, as any pod of this node."""
        metadata = pod["metadata"]
        where = resource.build(str(metadata["namespace"]), "pod", str(metadata["name"]))
        return answers.wrapped(await self._ask("insert", where, pod, STATUS_DEADLINE))

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Remove a terminated pod from the API; its row stays until the cloud says so."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        where = resource.build(namespace, "pod", name)
        answers.confirmed(await self._ask("delete", where, options, STATUS_DEADLINE))

    async def forget_pod(self, namespace: str, name: str, uid: str) -> None:
        """Drop a pod that the API does not know any more, and what belongs to it."""
        for statement in rows.drop_with_pod(namespace, name, uid):
            await self._keep(statement)

    async def send_event(self, event: Obj, *, create: bool) -> None:
        """Send an Event, new or with a higher count. A Go CloudCore never answers."""
        metadata = event["metadata"]
        where = resource.build(metadata["namespace"], "event", metadata["name"])
        operation = "insert" if create else "update"
        await self._hub.send(
            wire.new(source="edged", group="meta", operation=operation, resource=where, content=event)
        )

    async def get_lease(self, name: str) -> Obj:
        """The node's Lease."""
        where = resource.build("kube-node-lease", "lease", name)
        return answers.wrapped(await self._ask("query", where, None, STATUS_DEADLINE))

    async def put_lease(self, lease: Obj, *, create: bool) -> Obj:
        """Create or update the node's Lease."""
        where = resource.build("kube-node-lease", "lease", str(lease["metadata"]["name"]))
        operation = "insert" if create else "update"
        return answers.wrapped(await self._ask(operation, where, lease, STATUS_DEADLINE))

    # Inside

    def _learn(self, kind: str, obj: Obj) -> None:
        if self._mirror is not None:
            self._mirror.learn(kind, obj)

    def _stored(self, key: str) -> Obj | None:
        value = rows.value(self._store, key)
        if value is None:
            return None
        found = msgspec.json.decode(value)
        # The Go EdgeCore stores error answers as if they were the object: not to be believed.
        return found if isinstance(found, dict) and found and "ErrStatus" not in found else None

    async def _stored_or_remote(self, key: str) -> Obj:
        found = self._stored(key)
        return found if found is not None else await self._query(key)

    async def _query(self, key: str) -> Obj:
        answer = await self._ask("query", key, None, self._query_deadline)
        found = answers.plain(answer)
        kind = resource.parse(key).type
        self._learn(kind, found)
        await self._keep(rows.put(key, kind, answer.data()))
        if answer.header.resourceversion and kind not in NOT_ACKNOWLEDGED:
            await self._answer(wire.reply(answer, "OK"))
        return found

    async def _ask(self, operation: str, where: str, content: Any, deadline: float) -> Message:
        request = wire.new(source="edged", group="meta", operation=operation, resource=where, content=content)
        return await self._hub.request(request, deadline)

    async def _keep(self, statement: Statement, *, durable: bool = True) -> None:
        """Store what the cloud can be asked for again: a failure is told, not raised."""
        try:
            await self._store.submit([statement], durable=durable)
        except sqlite3.Error as error:
            self._complain(str(statement[1][0]), error)

    def _complain(self, key: str, error: sqlite3.Error) -> None:
        # A store that takes nothing has said so itself; one line for each object would fill the log as well.
        log.log(logging.DEBUG if self._store.problem else logging.ERROR, "%s is not stored: %s", key, error)

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._kick.set()

    async def _send_kept(self) -> NoReturn:
        while True:
            await self._kick.wait()
            self._kick.clear()
            while self._unsent and self._hub.connected:
                key, patch = next(iter(self._unsent.items()))
                where = resource.parse(key)
                try:
                    await self.patch_pod_status(where.namespace, where.name, patch)
                except RemoteError as error:
                    log.info("the kept status of %s is of no use any more: %s", key, error)
                except (Offline, NoAnswer):
                    await self._clock.sleep(RETRY_KEPT)


def _kept_statuses(store: Store) -> dict[str, Obj]:
    """Patches that an earlier process could not send; a row with a name is an answer, not a patch."""
    found = {key: msgspec.json.decode(value) for key, value in rows.of_type(store, "podpatch")}
    return {
        key: patch
        for key, patch in found.items()
        if isinstance(patch, dict) and "name" not in (patch.get("metadata") or {})
    }


def _patch_key(namespace: str, name: str) -> str:
    return resource.build(namespace, "podpatch", name)


def _text(patch: Obj) -> str:
    return msgspec.json.encode(patch).decode()


def _uid(content: Obj) -> str:
    return str((content.get("metadata") or {}).get("uid") or "")

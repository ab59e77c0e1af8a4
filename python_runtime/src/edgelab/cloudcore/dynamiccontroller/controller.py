"""DynamicController: carries out at the API server what programs at the edge ask their MetaServer for.

Receives: applications of MetaServers through CloudHub. Sends: each one's answer, and pushes for watches.
Stores: nothing but the watches (see watches.py). Without the API: requests are answered with
ServiceUnavailable, and the MetaServer answers reads from what it has.
Facts: KubeEdge `cloud/pkg/dynamiccontroller` (docs/reference/metaserver.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from edgelab.cloudcore.cloudhub.pki import NODES_GROUP, USER_PREFIX
from edgelab.cloudcore.dynamiccontroller import requests
from edgelab.cloudcore.dynamiccontroller.filters import for_edge
from edgelab.cloudcore.dynamiccontroller.guard import Guard
from edgelab.cloudcore.dynamiccontroller.kinds import Kinds
from edgelab.cloudcore.dynamiccontroller.requests import HttpRequest
from edgelab.cloudcore.dynamiccontroller.topology import KINDS, Topology
from edgelab.cloudcore.dynamiccontroller.watches import SOURCE, Scope, Watches
from edgelab.cloudcore.interfaces import Courier
from edgelab.daemon.errors import Unreachable
from edgelab.daemon.tasks import Supervisor
from edgelab.kube.impersonation import acting_as
from edgelab.kube.informer import DELETED
from edgelab.kube.interface import Obj, RawApi
from edgelab.objects.status import ApiError
from edgelab.protocol.content import applications
from edgelab.protocol.content.applications import Application, Key
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.dynamic")

UNDER_WAY = 32
"""Requests of one node that are carried out at the same time; more wait their turn."""
UNKNOWN = "the server could not find the requested resource"
"""What Go's client says where no object is missing but its kind."""
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def view(topology: Topology, node: str, obj: Obj) -> Obj:
    """An object as a node gets it."""
    return for_edge(topology.shown(node, obj))


class DynamicController:
    """A module. With `enforcing` the API server judges requests as the node's own; else `guard` does."""

    name = SOURCE

    def __init__(
        self,
        api: RawApi,
        courier: Courier,
        watches: Watches,
        guard: Guard,
        *,
        topology: Topology,
        enforcing: bool,
    ) -> None:
        self._api = api
        self._courier = courier
        self._watches = watches
        self._guard = guard
        self._topology = topology
        self._enforcing = enforcing
        self._kinds = Kinds(api)
        self._owner = Supervisor(SOURCE)
        self._room: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(UNDER_WAY))
        self._wanted: defaultdict[str, set[str]] = defaultdict(set)

    async def run(self) -> None:
        """Own what is under way until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._owner.close()
            await self._watches.close()
            await self._topology.close()

    def node_changed(self, event: str, _old: Obj | None, node: Obj) -> None:
        """With its Node go a node's watches."""
        if event == DELETED:
            name = node["metadata"]["name"]
            self._watches.keep(name, set())
            self._wanted.pop(name, None)
            self._room.pop(name, None)

    async def handle(self, node: str, message: Message) -> None:
        """Take over a message of a node's MetaServer; waits while the node has too much under way."""
        try:
            if message.route.resource == applications.SYNC:
                watches = msgspec.json.decode(message.content, type=dict[str, Application])
                self._wanted[node] = set(watches)
                self._watches.keep(node, set(watches))
                work = self._sync(node, message, watches)
            else:
                asked = msgspec.json.decode(message.content, type=Application)
                asked.nodename = node
                if asked.verb == "watch":
                    self._wanted[node].add(asked.id)
                work = self._single(node, message, asked)
        except msgspec.DecodeError as error:
            log.warning("node %s sent an application that cannot be read: %s", node, error)
            return
        room = self._room[node]
        await room.acquire()
        self._owner.spawn(work, node).add_done_callback(lambda _: room.release())

    async def _single(self, node: str, message: Message, asked: Application) -> None:
        answer = await self._outcome(node, asked)
        self._courier.send(node, applications.answer(message, answer))
        if asked.verb == "watch" and answer.status == applications.APPROVED:
            self._begin(node, asked, await self._scope(asked))

    async def _sync(self, node: str, message: Message, watches: dict[str, Application]) -> None:
        """All live watches of the node: those that are missing begin, and which failed is answered."""
        failed: dict[str, Application] = {}
        begin: list[tuple[Application, Scope]] = []
        for watch, asked in watches.items():
            asked.nodename, asked.id = node, watch
            if watch in self._watches.ids(node):
                continue
            answer = await self._outcome(node, asked)
            if answer.status == applications.APPROVED:
                begin.append((asked, await self._scope(asked)))
            else:
                failed[watch] = answer
        self._courier.send(node, applications.answer(message, failed))
        for asked, scope in begin:
            self._begin(node, asked, scope)

    def _begin(self, node: str, asked: Application, scope: Scope) -> None:
        if asked.id in self._wanted[node]:  # else the node has thought better of it meanwhile
            self._watches.add(node, asked.id, scope)

    async def _outcome(self, node: str, asked: Application) -> Application:
        """The application with its answer; never raises for what the API server says."""
        try:
            return asked.approved(await self._carry_out(node, asked))
        except ApiError as error:
            known = error if error.code != 404 or error.details else ApiError(404, UNKNOWN)
            why = f"get current list error: {known}" if asked.verb == "list" else ""
            return asked.rejected(known.status(), why)
        except Unreachable as error:
            return asked.rejected(ApiError(503, f"CloudCore cannot reach the API server: {error}").status())

    async def _carry_out(self, node: str, asked: Application) -> bytes | None:
        path = asked.key.partition("?")[0]
        if applications.PASS_THROUGH.fullmatch(path) or applications.SCHEMAS.fullmatch(path):
            with self._acting(node):
                return await self._api.raw("GET", path)
        key = requests.key_of(asked)
        if not self._enforcing:
            self._guard.check(node, asked.verb, key, asked.subresource, requests.body_of(asked))
        await self._topology.prepare(key)
        if asked.verb == "watch":
            await self._check_watch(node, key, await self._scope(asked))
            return None
        body = await self._send(node, requests.build(asked))
        if asked.verb == "list":
            return msgspec.json.encode(self._shown(node, key, msgspec.json.decode(body)))
        if asked.verb == "get" and (key.group, key.resource) in KINDS:
            return msgspec.json.encode(view(self._topology, node, msgspec.json.decode(body)))
        return None if asked.verb == "delete" else body

    async def _send(self, node: str, wanted: HttpRequest) -> bytes:
        with self._acting(node):
            return await self._api.raw(
                wanted.method,
                wanted.path,
                params=wanted.params,
                body=wanted.body,
                content_type=wanted.content_type,
            )

    def _shown(self, node: str, key: Key, body: dict[str, Any]) -> dict[str, Any]:
        items = requests.with_kinds(body)["items"]
        if not self._enforcing:
            items = [item for item in items if self._guard.sees(node, key, item)]
        return {**body, "items": [view(self._topology, node, item) for item in items]}

    async def _check_watch(self, node: str, key: Key, scope: Scope) -> None:
        """Raises ApiError when the node may not watch this, or nobody can."""
        self._watches.check_room(node)
        if self._enforcing:
            await self._review(node, key)
        if not self._watches.shared(scope):
            params = {"labelSelector": scope.labels, "fieldSelector": scope.fields, "limit": "1"}
            chosen = {name: value for name, value in params.items() if value}
            await self._api.raw("GET", requests.address(key), params=chosen)

    async def _review(self, node: str, key: Key) -> None:
        attributes = {
            "verb": "watch",
            "group": key.group,
            "version": key.version,
            "resource": key.resource,
            "namespace": key.namespace,
            "name": key.name,
        }
        spec = {"user": USER_PREFIX + node, "groups": [NODES_GROUP], "resourceAttributes": attributes}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        }
        found = msgspec.json.decode(await self._api.raw("POST", REVIEWS, body=body))
        status = found.get("status") or {}
        if not status.get("allowed"):
            why = status.get("reason") or "the API server's rules do not allow it"
            raise ApiError(403, f"node {node!r} cannot watch {key.resource} of {key.api_version}: {why}")

    async def _scope(self, asked: Application) -> Scope:
        key = requests.key_of(asked)
        try:
            options = asked.options()
        except ValueError as error:
            raise ApiError(400, str(error)) from None
        resource = await self._kinds.find(key)
        labels, fields = str(options.get("labelSelector") or ""), str(options.get("fieldSelector") or "")
        if key.name and not fields:
            fields = f"metadata.name={key.name}"
        return Scope(resource, key.namespace, labels, fields)

    def _acting(self, node: str) -> AbstractContextManager[None]:
        """Inside, requests are the node's own where the API server is to judge."""
        return acting_as(USER_PREFIX + node, (NODES_GROUP,)) if self._enforcing else nullcontext()

"""Requests and reports of nodes, carried out at the API server.

Receives: messages of edged through CloudHub. Sends: answers through CloudHub, in the shapes of
KubeEdge `cloud/pkg/edgecontroller/controller/upstream.go` (docs/reference/protocol.md).
Stores: nothing. Without the API: requests are answered with ServiceUnavailable; the node asks again.
A node may write only its own Node, Lease and pods, and read only what its pods use.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from edgelab.cloudcore.edgecontroller.legacy import LegacyReports
from edgelab.cloudcore.edgecontroller.permissions import Permissions
from edgelab.cloudcore.edgecontroller.queries import Queries
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import answer, error_status, missing, object_resp
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj, PatchType
from edgelab.kube.resources import CSRS, EVENTS, LEASES, NODES, PODS
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource, parse
from edgelab.protocol.session.delivery import of_object

log = logging.getLogger("edgelab.cloudcore.upstream")

Work: TypeAlias = Callable[[str, Message, Resource], Awaitable[None]]

ADDRESS_ANNOTATION = "cloudcore"
"""On a Node: the address of the CloudCore that it is connected to (used by the router)."""


class Upstream:
    """`handle` treats one message of a node."""

    def __init__(
        self, api: KubeApi, courier: Courier, queries: Queries, permissions: Permissions, *, address: str
    ) -> None:
        self._api = api
        self._courier = courier
        self._queries = queries
        self._permissions = permissions
        self._address = address
        self._unknown: set[tuple[str, str]] = set()
        legacy = LegacyReports(api, courier)
        self._table: dict[tuple[str, str], Work] = {
            ("node", "insert"): self._create_node,
            ("node", "update"): self._update_node,
            ("node", "query"): self._query,
            ("nodepatch", "patch"): self._patch_node,
            ("podpatch", "patch"): self._patch_pod,
            ("pod", "insert"): self._create_pod,
            ("pod", "delete"): self._delete_pod,
            ("lease", "insert"): self._write_lease,
            ("lease", "update"): self._write_lease,
            ("lease", "query"): self._query_lease,
            ("event", "insert"): self._event,
            ("event", "update"): self._event,
            ("event", "patch"): self._event,
            ("serviceaccounttoken", "query"): self._token,
            ("certificatesigningrequest", "insert"): self._create_csr,
            ("certificatesigningrequest", "query"): self._query,
            ("podstatus", "update"): legacy.pod_status,
            ("nodestatus", "insert"): legacy.node_status,
            ("nodestatus", "update"): legacy.node_status,
        }
        for kind in self._queries.acknowledged:
            self._table[kind, "query"] = self._query

    async def handle(self, node: str, message: Message) -> None:
        """Carry out what a node asks for; failures are answered where the node waits for an answer."""
        resource = parse(message.route.resource)
        kind = (resource.type, message.route.operation)
        work = self._table.get(kind)
        if work is None:
            if kind not in self._unknown:
                self._unknown.add(kind)
                log.warning("node %s sends %s of %r, which nothing here answers", node, kind[1], kind[0])
            return
        try:
            await work(node, message, resource)
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("node %s: %s of %s cannot be read: %s", node, kind[1], message.route.resource, error)

    async def annotate(self, node: str) -> None:
        """Write down on the Node that it is connected here. Raises ApiError, Unreachable."""
        try:
            present = await self._api.get(NODES, node)
            if (present["metadata"].get("annotations") or {}).get(ADDRESS_ANNOTATION) != self._address:
                patch = {"metadata": {"annotations": {ADDRESS_ANNOTATION: self._address}}}
                await self._api.patch(NODES, node, patch)
        except ApiError as error:
            if error.code != 404:  # a node that registers now gets it then
                raise

    async def _resp(
        self, node: str, message: Message, call: Awaitable[Obj], *, versioned: bool = False
    ) -> None:
        """Answer with an ObjectResp of what `call` gives."""
        try:
            obj = await call
        except (ApiError, Unreachable) as error:
            self._courier.send(node, answer(message, object_resp(None, error)))
            return
        version = obj["metadata"].get("resourceVersion", "") if versioned else ""
        self._courier.send(node, answer(message, object_resp(obj), version=version))

    async def _create_node(self, node: str, message: Message, resource: Resource) -> None:
        if not _own(node, message, resource):
            return
        body = _typed(message.object(), "Node", "v1")
        metadata = body["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ADDRESS_ANNOTATION: self._address}
        await self._resp(node, message, self._api.create(NODES, body))

    async def _update_node(self, node: str, message: Message, resource: Resource) -> None:
        if not _own(node, message, resource):
            return
        wanted = message.object()
        try:
            present = await self._api.get(NODES, resource.name)
            patch = _node_patch(present, wanted, self._address)
            if patch:
                await self._api.patch(NODES, resource.name, patch)
        except (ApiError, Unreachable) as error:
            log.warning("node %s could not be updated: %s", node, error)
            return
        self._courier.send(node, answer(message, "OK"))

    async def _patch_node(self, node: str, message: Message, resource: Resource) -> None:
        if not _own(node, message, resource):
            return
        call = self._api.patch(
            NODES, resource.name, message.data(), patch_type=PatchType.STRATEGIC, subresource="status"
        )
        await self._resp(node, message, call, versioned=True)

    async def _patch_pod(self, node: str, message: Message, resource: Resource) -> None:
        try:
            self._permissions.check_pod(node, resource)
        except ApiError as error:
            self._courier.send(node, answer(message, object_resp(None, error)))
            return
        call = self._api.patch(
            PODS,
            resource.name,
            message.data(),
            resource.namespace,
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )
        await self._resp(node, message, call, versioned=True)

    async def _create_pod(self, node: str, message: Message, resource: Resource) -> None:
        body = _typed(message.object(), "Pod", "v1")
        await self._resp(node, message, self._api.create(PODS, body, resource.namespace))

    async def _delete_pod(self, node: str, message: Message, resource: Resource) -> None:
        content = message.value()
        if isinstance(content, str) and not content.startswith("{"):
            # Releases before DeleteOptions send the bare UID.
            content = {"gracePeriodSeconds": 0, "preconditions": {"uid": content}}
        elif isinstance(content, str):
            content = message.object()
        options = _typed(content or {}, "DeleteOptions", "v1")
        try:
            self._permissions.check_pod(node, resource)
            await self._api.delete(PODS, resource.name, resource.namespace, options=options)
        except ApiError as error:
            if error.code not in (
                404,
                409,
            ):  # gone, or another pod of that name: either way not ours any more
                self._courier.send(node, answer(message, error_status(error)))
                return
        except Unreachable as error:
            self._courier.send(node, answer(message, error_status(error)))
            return
        self._courier.send(node, answer(message, "OK"))

    async def _write_lease(self, node: str, message: Message, resource: Resource) -> None:
        if not _own(node, message, resource):
            return
        body = _typed(message.object(), "Lease", "coordination.k8s.io/v1")
        write = self._api.create if message.route.operation == "insert" else self._api.update
        await self._resp(node, message, write(LEASES, body, resource.namespace))

    async def _query_lease(self, node: str, message: Message, resource: Resource) -> None:
        try:
            lease = await self._api.get(LEASES, resource.name, resource.namespace)
        except (ApiError, Unreachable) as error:
            wrapped = missing(error, "lease", resource.name, LEASES.group)
            self._courier.send(node, answer(message, object_resp(None, wrapped)))
            return
        self._courier.send(node, answer(message, object_resp(lease)))

    async def _event(self, node: str, message: Message, resource: Resource) -> None:
        """Events are never answered; one that is lost is no harm."""
        content: dict[str, Any] = message.object()
        try:
            if message.route.operation == "patch":
                await self._patch_event(content, resource)
            elif message.route.operation == "insert":
                await self._api.create(EVENTS, _typed(content, "Event", "v1"), resource.namespace)
            else:
                await self._api.update(EVENTS, _typed(content, "Event", "v1"), resource.namespace)
        except (ApiError, Unreachable) as error:
            log.debug("event %s of node %s: %s", resource, node, error)

    async def _patch_event(self, content: dict[str, Any], resource: Resource) -> None:
        patch = content["patchData"].encode()
        try:
            await self._api.patch(
                EVENTS, resource.name, patch, resource.namespace, patch_type=PatchType.STRATEGIC
            )
        except ApiError as error:
            if error.code != 404:
                raise
            # Expired in the API meanwhile; the node sends the whole event along for this.
            await self._api.create(EVENTS, _typed(content["event"], "Event", "v1"), resource.namespace)

    async def _token(self, node: str, message: Message, resource: Resource) -> None:
        try:
            self._permissions.check_token(node, resource)
            token = await self._queries.token(resource.namespace, resource.name, message.object() or {})
        except (ApiError, Unreachable) as error:
            self._courier.send(node, answer(message, error_status(error)))
            return
        self._courier.send(node, answer(message, token))

    async def _create_csr(self, node: str, message: Message, _resource: Resource) -> None:
        body = _typed(message.object(), "CertificateSigningRequest", CSRS.api_version)
        await self._resp(node, message, self._api.create(CSRS, body))

    async def _query(self, node: str, message: Message, resource: Resource) -> None:
        """Raw objects; those that edges keep are delivered reliably, as answer and push in one."""
        try:
            self._permissions.check_read(node, resource)
            obj = await self._queries.get(resource)
        except (ApiError, Unreachable) as error:
            self._courier.send(node, answer(message, error_status(error)))
            return
        if resource.type in self._queries.acknowledged:
            delivery = of_object(obj, "response", parent_id=message.id, address=message.route.resource)
            self._courier.push(node, delivery)
        else:
            self._courier.send(node, answer(message, obj))


def _own(node: str, message: Message, resource: Resource) -> bool:
    if resource.name == node:
        return True
    log.warning("node %s may not %s %s", node, message.route.operation, message.route.resource)
    return False


def _typed(obj: Any, kind: str, api_version: str) -> Obj:
    """The object with kind and apiVersion, which Go's typed objects lack on the wire."""
    return {**obj, "kind": kind, "apiVersion": api_version}


def _node_patch(present: Obj, wanted: Obj, address: str) -> Obj:
    """What of labels, annotations and taints has to be added; nothing of the cloud's own is removed."""
    metadata = wanted.get("metadata") or {}
    patch: Obj = {}
    for field, extra in (("labels", {}), ("annotations", {ADDRESS_ANNOTATION: address})):
        have = present["metadata"].get(field) or {}
        want = {**(metadata.get(field) or {}), **extra}
        new = {key: value for key, value in want.items() if have.get(key) != value}
        if new:
            patch.setdefault("metadata", {})[field] = new
    taints = (present.get("spec") or {}).get("taints") or []
    known = {(taint.get("key"), taint.get("effect")) for taint in taints}
    more = [
        taint
        for taint in (wanted.get("spec") or {}).get("taints") or []
        if (taint.get("key"), taint.get("effect")) not in known
    ]
    if more:
        patch["spec"] = {"taints": [*taints, *more]}
    return patch

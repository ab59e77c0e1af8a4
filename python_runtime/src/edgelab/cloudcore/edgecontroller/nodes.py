"""What nodes write of themselves: their Node. Other nodes' are passed over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edgelab.cloudcore.cluster import EDGE_LABEL
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import Replier
from edgelab.daemon.errors import Unreachable
from edgelab.kube.impersonation import acting_as_oneself, is_acting
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Obj, PatchType
from edgelab.kube.resources import NODES
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource

log = logging.getLogger("edgelab.cloudcore.upstream")

ADDRESS_ANNOTATION = "cloudcore"
"""On a Node: the address of the CloudCore that it is connected to (used by the router)."""
RESERVED, RESTRICTED = "kubernetes.io", "node-restriction.kubernetes.io"
"""Prefixes of labels: Kubernetes' own, and those that are for administrators alone (NodeRestriction)."""
ROLES = (EDGE_LABEL, "node-role.kubernetes.io/agent")


class NodeWrites:
    """`present` are the Nodes as the API server has them; `address` is this CloudCore's own."""

    def __init__(self, api: KubeApi, courier: Courier, present: Informer, address: str) -> None:
        self._api = api
        self._present = present
        self._courier = courier
        self._reply = Replier(courier)
        self._address = address
        self.registered: Callable[[str], None] = lambda node: None
        """Told of each Node that was created."""
        self.corrected: Callable[[str, Obj], Obj] | None = None
        """What of a node's own status goes on: CloudStream puts its endpoint there. None: all as it is."""

    async def annotate(self, node: str) -> None:
        """Write down on the Node that it is connected here. Raises ApiError, Unreachable."""
        if not self._courier.connected(node):  # it went elsewhere while this waited for the API server
            return
        known = self._present.store.get(("", node))
        if known is None:  # a node that registers now gets it then
            return
        if (known["metadata"].get("annotations") or {}).get(ADDRESS_ANNOTATION) == self._address:
            return
        patch = {"metadata": {"annotations": {ADDRESS_ANNOTATION: self._address}}}
        try:
            await self._api.patch(NODES, node, patch)
        except ApiError as error:
            if error.code != 404:
                raise

    async def register(self, node: str, body: Obj) -> Obj:
        """Create the Node. Raises ApiError, Unreachable.

        Acting as the node, labels of Kubernetes' own are added afterwards with CloudCore's rights: a kubelet
        may not set its role.
        """
        metadata = body.get("metadata") or {}
        annotations = {**(metadata.get("annotations") or {}), ADDRESS_ANNOTATION: self._address}
        labels, reserved = _shared_out(node, metadata.get("labels") or {}) if is_acting() else (None, {})
        metadata = {**metadata, "name": node, "annotations": annotations}
        if labels is not None:
            metadata["labels"] = labels
        body = typed({**body, "metadata": metadata}, "Node", "v1")
        if "status" in body and self.corrected is not None:
            body["status"] = self.corrected(node, body["status"])
        try:
            created = await self._api.create(NODES, body)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                # An earlier attempt may have ended between the two.
                await self._label(node, {key: reserved[key] for key in ROLES if key in reserved})
            raise
        self.registered(node)
        return await self._label(node, reserved) or created

    async def _label(self, node: str, labels: dict[str, str]) -> Obj | None:
        if not labels:
            return None
        with acting_as_oneself():
            return await self._api.patch(NODES, node, {"metadata": {"labels": labels}})

    async def create(self, node: str, message: Message, resource: Resource) -> None:
        """A node registers."""
        if own(node, message, resource):
            await self._reply.wrapped(node, message, self.register(node, message.object()))

    async def update(self, node: str, message: Message, resource: Resource) -> None:
        """Labels, annotations and taints; without an answer when it fails, as in the original."""
        if not own(node, message, resource):
            return
        wanted = message.object()
        try:
            present = await self._api.get(NODES, node)
            patch = _changes(present, wanted, self._address)
            if patch:
                present = await self._api.patch(NODES, node, patch)
        except (ApiError, Unreachable) as error:
            log.warning("node %s could not be updated: %s", node, error)
            return
        self._reply.ok(node, message, version=present["metadata"].get("resourceVersion", ""))

    async def patch(self, node: str, message: Message, resource: Resource) -> None:
        """The node's status."""
        if not own(node, message, resource):
            return
        data: bytes | Obj = message.data()
        if self.corrected is not None:
            patch = message.object()
            data = {**patch, "status": self.corrected(node, patch.get("status") or {})}
        call = self._api.patch(NODES, node, data, patch_type=PatchType.STRATEGIC, subresource="status")
        await self._reply.wrapped(node, message, call, versioned=True)


def _shared_out(node: str, labels: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Labels that the node sets itself, and those that it may not; some it gets from nobody on its word."""
    own_labels, reserved = {}, {}
    for key, value in labels.items():
        prefix = key.rpartition("/")[0]
        if prefix == RESTRICTED or prefix.endswith("." + RESTRICTED):
            log.warning("node %s may not give itself the label %s", node, key)
        elif prefix == RESERVED or prefix.endswith("." + RESERVED):
            reserved[key] = value
        else:
            own_labels[key] = value
    return own_labels, reserved


def own(node: str, message: Message, resource: Resource) -> bool:
    """Whether the message is about the node that sends it; else it is told and passed over."""
    if resource.name == node:
        return True
    log.warning("node %s may not %s %s", node, message.route.operation, message.route.resource)
    return False


def typed(obj: Any, kind: str, api_version: str) -> Obj:
    """The object with kind and apiVersion, which Go's typed objects lack on the wire."""
    return {**obj, "kind": kind, "apiVersion": api_version}


def _changes(present: Obj, wanted: Obj, address: str) -> Obj:
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

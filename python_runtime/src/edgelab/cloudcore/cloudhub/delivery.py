"""An object on its way to an edge node, which has to acknowledge it. No I/O.

Facts: KubeEdge `cloud/pkg/cloudhub/dispatcher/message_dispatcher.go` (docs/reference/protocol.md).
The original decides by words in the resource whether a message is delivered reliably, so that a pod
named `membership-x` is not; here the sender decides, by the way it sends (`Courier`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.resource import build

RESPONSE = "response"
DELETE = "delete"


@dataclass(slots=True)
class Delivery:
    """An object on its way to a node, and what its ObjectSync says of it."""

    message: Message
    uid: str
    version: int
    kind: str
    api_version: str
    namespace: str
    name: str

    @property
    def is_delete(self) -> bool:
        """Whether the object is to go away."""
        return self.message.route.operation == DELETE

    @property
    def is_response(self) -> bool:
        """Whether this answers a request of the node, besides bringing an object."""
        return self.message.route.operation == RESPONSE


def of_object(
    obj: dict[str, Any],
    operation: str,
    *,
    source: str = "edgecontroller",
    parent_id: str = "",
    resource: str = "",
) -> Delivery:
    """The delivery of an API object (kind and apiVersion set)."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace") or ""
    kind = obj["kind"]
    message = wire.new(
        source=source,
        group="resource",
        operation=operation,
        resource=resource or build(namespace, kind.lower(), metadata["name"]),
        content=obj,
        parent_id=parent_id,
        resource_version=metadata.get("resourceVersion", ""),
    )
    return Delivery(
        message,
        metadata.get("uid", ""),
        version_of(obj),
        kind,
        obj["apiVersion"],
        namespace,
        metadata["name"],
    )


def of_missing(
    kind: str, api_version: str, namespace: str, name: str, uid: str, *, source: str = "edgecontroller"
) -> Delivery:
    """The delete of an object that is no longer there to be shown: only its identity is sent."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), "uid": uid}
    message = wire.new(
        source=source,
        group="resource",
        operation=DELETE,
        resource=build(namespace, kind.lower(), name),
        content={"metadata": metadata},
    )
    return Delivery(message, uid, 0, kind, api_version, namespace, name)


def version_of(obj: dict[str, Any]) -> int:
    """The object's resourceVersion; 0 for one that has none or no number."""
    text = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdecimal() else 0

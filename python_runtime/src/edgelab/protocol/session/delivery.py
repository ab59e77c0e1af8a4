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
    """An object on its way to a node, and what its ObjectSync says of it.

    The message is made when it is first asked for: most deliveries end at the comparison of versions.
    """

    operation: str
    content: dict[str, Any]
    source: str
    uid: str
    version: int
    kind: str
    api_version: str
    namespace: str
    name: str
    parent_id: str = ""
    address: str = ""
    """The resource as a node wrote it in its request, where that differs from the object's own."""
    _message: Message | None = None

    @property
    def message(self) -> Message:
        """The hub message; always the same one."""
        if self._message is None:
            self._message = wire.new(
                source=self.source,
                group="resource",
                operation=self.operation,
                resource=self.resource,
                content=self.content,
                parent_id=self.parent_id,
                resource_version=str(self.version) if self.version else "",
            )
        return self._message

    @property
    def resource(self) -> str:
        """The object's address in edge form."""
        return self.address or build(self.namespace, self.kind.lower(), self.name)

    @property
    def is_delete(self) -> bool:
        """Whether the object is to go away."""
        return self.operation == DELETE

    @property
    def is_response(self) -> bool:
        """Whether this answers a request of the node, besides bringing an object."""
        return self.operation == RESPONSE


def of_object(
    obj: dict[str, Any],
    operation: str,
    *,
    source: str = "edgecontroller",
    parent_id: str = "",
    address: str = "",
) -> Delivery:
    """The delivery of an API object (kind and apiVersion set)."""
    metadata = obj["metadata"]
    return Delivery(
        operation,
        obj,
        source,
        metadata.get("uid", ""),
        version_of(obj),
        obj["kind"],
        obj["apiVersion"],
        metadata.get("namespace") or "",
        metadata["name"],
        parent_id,
        address,
    )


def of_missing(
    kind: str, api_version: str, namespace: str, name: str, uid: str, *, source: str = "edgecontroller"
) -> Delivery:
    """The delete of an object that is no longer there to be shown: only its identity is sent."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), "uid": uid}
    return Delivery(DELETE, {"metadata": metadata}, source, uid, 0, kind, api_version, namespace, name)


def version_of(obj: dict[str, Any]) -> int:
    """The object's resourceVersion; 0 for one that has none or no number."""
    text = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdecimal() else 0

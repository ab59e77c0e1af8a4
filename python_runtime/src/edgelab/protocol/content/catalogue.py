"""Which message carries what: every kind of message between CloudCore and EdgeCore.

The first row that fits wins, as in KubeEdge's own dispatchers (`cloud/pkg/cloudhub/dispatcher`,
`edge/pkg/edgehub/messagehandler`; docs/reference/protocol.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from edgelab.protocol.content import applications, devices, jobs, objects, users
from edgelab.protocol.content.codecs import (
    ANYTHING,
    NO_MORE,
    NOTHING,
    OBJECT,
    TEXT,
    WORDS,
    Codec,
    Either,
    KubernetesObject,
)
from edgelab.protocol.message import Message

UP, DOWN = "edge->cloud", "cloud->edge"
PUSHES = "insert update delete"
NAME = r"[^/]+"


class Kind(NamedTuple):
    """One kind of message. An empty pattern stands for anything; words are separated by blanks."""

    name: str
    direction: str
    codec: Codec
    source: str = ""
    group: str = ""
    operation: str = ""
    resource: str = ""
    """A regular expression for the whole resource."""
    answers: bool | None = None
    """Whether it has a parent; None when it may or may not."""

    def fits(self, message: Message) -> bool:
        """Whether `message` is of this kind."""
        route = message.route
        return (
            (not self.source or route.source in self.source.split())
            and (not self.group or route.group in self.group.split())
            and (not self.operation or route.operation in self.operation.split())
            and (not self.resource or re.fullmatch(self.resource, route.resource) is not None)
            and (self.answers is None or self.answers == bool(message.parent_id))
        )


def _of(kind: str) -> str:
    """The resource of an object, or of all of a kind."""
    return rf"{NAME}/{kind}(/{NAME})?"


QUERIES = "configmap secret persistentvolume persistentvolumeclaim volumeattachment"
"""What an edge asks for, without a content, and gets as it is."""
_EITHER_QUERY = "|".join(QUERIES.split())
_WRAPPED = "node nodepatch podpatch pod lease certificatesigningrequest"
"""Whose answers come as `{"Object": ..., "Err": ...}`, or as `OK`."""


def _up() -> Iterator[Kind]:
    yield Kind("keepalive", UP, TEXT, operation="keepalive")
    yield Kind(
        "volume reply", UP, Either(TEXT, NOTHING, ANYTHING), resource=rf"{NAME}/volume/{NAME}", answers=True
    )
    yield Kind("acknowledgement", UP, WORDS, operation="response")
    yield Kind("error", UP, WORDS, operation="error")
    yield Kind("action of a node job", UP, jobs.ACTION_STATUS, operation="UpdateNodeActionStatus")
    yield Kind(
        "report of a node task", UP, jobs.NODE_TASK_REPORT, operation="upgrade prepull rollback backup"
    )
    yield Kind("question for the cluster's CA", UP, NO_MORE, operation="query", resource="k8s/ca.crt")
    yield Kind("answer of a service", UP, users.RESPONSE, "servicebus", "user", answers=True)
    yield Kind("call of a local program", UP, WORDS, "servicebus", "user", "upload", answers=False)
    yield Kind("payload of MQTT", UP, users.PAYLOAD, "bus", "user", "upload")
    yield Kind("watches of the MetaServer", UP, applications.WATCHES, "metaserver", resource="watchapp/sync")
    yield Kind("request of the MetaServer", UP, applications.APPLICATION, "metaserver")
    yield Kind("twin report", UP, devices.TWIN_REPORT, "twin", resource="device/.*/twin/edge_updated")
    yield Kind("state report", UP, devices.STATE_REPORT, "twin", resource="device/.*/state/update")
    yield Kind("question for devices", UP, devices.QUESTION, "twin", resource="membership/detail")
    yield from _up_objects()


def _up_objects() -> Iterator[Kind]:
    meta = "meta"
    yield Kind("token request", UP, OBJECT, "", meta, "query", _of("serviceaccounttoken"))
    yield Kind("query", UP, NO_MORE, "", meta, "query")
    yield Kind("patch of an event", UP, objects.EVENT_PATCH, "", meta, "patch", _of("event"))
    yield Kind("event", UP, OBJECT, "", meta, "insert update", _of("event"))
    yield Kind("patch", UP, objects.PATCH, "", meta, "patch", _of("(node|pod)patch"))
    yield Kind("pod status", UP, objects.POD_STATUS, "", meta, "", _of("podstatus"))
    yield Kind("registration before 1.12", UP, OBJECT, "", meta, "insert", _of("nodestatus"))
    yield Kind("node status", UP, objects.NODE_STATUS, "", meta, "", _of("nodestatus"))
    yield Kind("pod delete", UP, objects.DELETE, "", meta, "delete", _of("pod"))
    yield Kind("object", UP, OBJECT, "", meta, "insert update")


def _down() -> Iterator[Kind]:
    yield Kind("error", DOWN, WORDS, operation="error")
    yield Kind("membership", DOWN, devices.MEMBERSHIP, "", "twin", "update", "membership")
    yield Kind("answer to a report", DOWN, WORDS, "", "twin", "response")
    yield Kind("cluster's CA", DOWN, TEXT, "cloudhub", "resource", "response", "k8s/ca.crt")
    yield Kind(
        "request for a volume",
        DOWN,
        Either(TEXT, OBJECT),
        "cloudhub",
        operation="createvolume deletevolume controllerpublishvolume controllerunpublishvolume",
    )
    watches = Kind("failed watches", DOWN, applications.WATCHES, operation="applicationResponse")
    yield watches._replace(resource="watchapp/sync")
    yield Kind("answer to the MetaServer", DOWN, applications.APPLICATION, operation="applicationResponse")
    for resource, codec in jobs.JOBS.items():
        path = rf"operations\.kubeedge\.io/{NAME}/{resource}/.*"
        yield Kind(resource, DOWN, codec, "taskmanager", resource=path)
    yield Kind("node task", DOWN, jobs.NODE_TASK, "taskmanager nodeupgradejobcontroller")
    yield from _down_users()
    yield from _down_objects()


def _down_users() -> Iterator[Kind]:
    yield Kind("subscription", DOWN, NO_MORE, "router_eventbus", "user", "subscribe unsubscribe")
    yield Kind("message for MQTT", DOWN, users.PAYLOAD, "router_eventbus", "user", "publish")
    yield Kind("path for local programs", DOWN, NO_MORE, "router_servicebus", "user", "start stop")
    yield Kind("request for a service", DOWN, users.REQUEST, "router_servicebus", "user", answers=False)
    yield Kind("answer to a local program", DOWN, users.PAYLOAD, "", "user", "response")


def _down_objects() -> Iterator[Kind]:
    resource = "resource"
    for kind in _WRAPPED.split():
        codec = Either(objects.RESPONSE, KubernetesObject("metadata"))  # the object itself answers a query
        yield Kind("answer", DOWN, codec, "", resource, "response", _of(kind))
    yield Kind("answer", DOWN, objects.CONFIRMATION, "", resource, "response", _of("(pod|node)status"))
    path = _of(f"({_EITHER_QUERY}|serviceaccounttoken)")
    yield Kind("answer", DOWN, objects.OBJECT_OR_ERROR, "", resource, "response", path)
    yield Kind("object", DOWN, OBJECT, "", resource, PUSHES)


KINDS: dict[str, tuple[Kind, ...]] = {UP: tuple(_up()), DOWN: tuple(_down())}
UNKNOWN = "unknown"


def kind_of(message: Message, direction: str) -> Kind:
    """The kind of a message that goes this way; one named `unknown`, of any content, for a stranger."""
    for kind in KINDS[direction]:
        if kind.fits(message):
            return kind
    return Kind(UNKNOWN, direction, ANYTHING)

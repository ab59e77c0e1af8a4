"""Answers and requests about Kubernetes objects.

Facts: KubeEdge `common/types/types.go`, `cloud/pkg/edgecontroller/controller/upstream.go`
(docs/reference/protocol.md).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from edgelab.protocol.content.codecs import NOTHING, OBJECT, TEXT, Either, Embedded, Plain, Struct


class ErrorBody(msgspec.Struct, rename={"status": "ErrStatus"}, forbid_unknown_fields=True):
    """An error as Go marshals it: an API error by its Status, any other one as `{}`, its text lost."""

    status: Raw | UnsetType = UNSET


class ObjectResponse(msgspec.Struct, rename={"object": "Object", "error": "Err"}):
    """The answer to a write: the object as the API server has it, or why there is none."""

    object: Raw
    error: ErrorBody | None


class EventPatch(msgspec.Struct, rename={"patch": "patchData"}):
    """A change of an Event: the Event and the text of a patch of it."""

    event: Raw
    patch: str


class PodStatus(msgspec.Struct, rename="pascal"):
    """A pod's status as edges before 1.12 report it."""

    uid: str = msgspec.field(name="UID")
    name: str
    status: Raw


class NodeStatus(msgspec.Struct, rename="pascal"):
    """A node's status as edges before 1.12 report it; `ExtendResources` by kind of resource."""

    uid: str = msgspec.field(name="UID")
    status: Raw
    extend_resources: dict[str, Any] | UnsetType | None = UNSET


PATCH = Either(Embedded(dict[str, Any]), OBJECT)
EVENT_PATCH = Struct(EventPatch)
RESPONSE = Either(Struct(ObjectResponse), Struct(ErrorBody), TEXT)
OBJECT_OR_ERROR = Either(OBJECT, TEXT)
"""A raw object; a failure has the same place and is told by its only field, `ErrStatus`."""
CONFIRMATION = Either(TEXT, Struct(ErrorBody), NOTHING)
DELETE = Either(OBJECT, TEXT)
"""DeleteOptions; edges of earlier releases send the text of a UID."""
POD_STATUS = Either(Struct(PodStatus), Plain(list[PodStatus]))
NODE_STATUS = Struct(NodeStatus)

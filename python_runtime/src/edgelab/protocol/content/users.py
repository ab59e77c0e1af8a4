"""Messages of users: what rules carry between REST, MQTT and services (KubeEdge `cloud/pkg/router`)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from edgelab.protocol.content.codecs import WORDS, Struct

BASE64 = "base64"
"""`header.type` of a message whose content is base64 text of bytes that are no UTF-8. KubeEdge has no such
type and changes such bytes; only ends of ours use it among each other."""

BINARY = "binary"
"""In the content of a `subscribe` of ours for our EdgeCore: what is no UTF-8 may come as `BASE64`."""

EDGE_SERVER = "kubeedge-edgecore"
"""`Server` of what EdgeCore itself answers in place of a service."""


class ServiceRequest(msgspec.Struct):
    """An HTTP request for a service at the edge; the body is base64 text on the wire, as Go writes bytes
    (msgspec reads and writes it several times faster than the standard library).

    `timeout`, in seconds, goes from our CloudCore to our EdgeCore only.
    """

    header: dict[str, list[str]] | None
    body: bytes | None
    method: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    timeout: float | UnsetType = UNSET


class ServiceResponse(msgspec.Struct):
    """What the service answered."""

    header: dict[str, list[str]] | None
    status_code: int
    body: bytes | None


REQUEST = Struct(ServiceRequest)
RESPONSE = Struct(ServiceResponse)
PAYLOAD = WORDS
"""An MQTT payload or a body as text; over QUIC it may be anything."""

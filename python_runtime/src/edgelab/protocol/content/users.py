"""Messages of users: what rules carry between REST, MQTT and services (KubeEdge `cloud/pkg/router`)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from edgelab.protocol.content.codecs import WORDS, Struct


class ServiceRequest(msgspec.Struct):
    """An HTTP request for a service at the edge; the body is base64 text, as Go writes bytes."""

    header: dict[str, list[str]] | None
    body: str | None
    method: str | UnsetType = UNSET
    url: str | UnsetType = UNSET


class ServiceResponse(msgspec.Struct):
    """What the service answered."""

    header: dict[str, list[str]] | None
    status_code: int
    body: str | None


REQUEST = Struct(ServiceRequest)
RESPONSE = Struct(ServiceResponse)
PAYLOAD = WORDS
"""An MQTT payload or a body as text; over QUIC it may be anything."""

"""The calls of a service, read from its descriptor: path, request and answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.message_factory import GetMessageClass

from edgelab.protocol.dmi import api_pb2 as pb

SERVER_SOCKET = "dmi.sock"
"""Name of EdgeCore's socket in its directory."""


class Method(NamedTuple):
    """One call; `path` is what gRPC sends it to."""

    path: str
    request: type[Any]
    answer: type[Any]


def _methods(service: str) -> dict[str, Method]:
    descriptor = pb.DESCRIPTOR.services_by_name[service]
    return {
        method.name: Method(
            f"/{descriptor.full_name}/{method.name}",
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
        )
        for method in descriptor.methods
    }


MANAGER = _methods("DeviceManagerService")
"""What EdgeCore answers."""
MAPPER = _methods("DeviceMapperService")
"""What a mapper answers."""

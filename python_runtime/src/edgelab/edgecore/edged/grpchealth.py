"""The health check of gRPC (`grpc.health.v1.Health/Check`) as a probe makes it (kubelet `pkg/probe/grpc`).

Both messages have one field each, so they are written and read here by hand.
"""

from __future__ import annotations

import asyncio
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from edgelab.edgecore.edged.httpget import join

METHOD = "/grpc.health.v1.Health/Check"
STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class _Plain(CodecBase):
    """Messages are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """As it is."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """As it is."""
        return data


async def check(host: str, port: int, service: str, limit: float) -> tuple[bool, str]:
    """Whether a service serves, and what there is to say if not; `limit` in seconds."""
    where = join(host, port)
    channel = Channel(host, port, codec=_Plain())
    try:
        call: Any = UnaryUnaryMethod(channel, METHOD, bytes, bytes)
        async with asyncio.timeout(limit):
            answer: bytes = await call(question(service), timeout=limit)
    except TimeoutError:
        return False, f"timeout: health rpc did not complete within {limit:g}s"
    except GRPCError as error:
        return False, _refused(error, limit)
    except OSError as error:
        return False, f'error: failed to connect service at "{where}": {error.strerror or error}'
    except (StreamTerminatedError, ProtocolError) as error:
        return False, f"error: health rpc probe failed: {error}"
    finally:
        channel.close()
    state = state_of(answer)
    return state == "SERVING", "" if state == "SERVING" else f'service unhealthy (responded with "{state}")'


def question(service: str) -> bytes:
    """A HealthCheckRequest: field 1 is the name of the service."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def state_of(answer: bytes) -> str:
    """The status in a HealthCheckResponse: field 1, a number below 128; absent means 0."""
    number = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
    return STATES[number] if number < len(STATES) else str(number)


def _refused(error: GRPCError, limit: float) -> str:
    text = error.message or error.status.name
    if error.status is Status.UNIMPLEMENTED:
        return (
            f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}"
        )
    if error.status is Status.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {limit:g}s"
    return f"error: health rpc probe failed: {text}"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])

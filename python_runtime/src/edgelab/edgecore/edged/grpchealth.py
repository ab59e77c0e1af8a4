"""The health check of gRPC (`grpc.health.v1.Health/Check`) as a probe makes it (kubelet `pkg/probe/grpc`).

Both messages have one field each, so they are written and read here by hand.
"""

from __future__ import annotations

from edgelab.cri.grpc.channel import CallFailed, Channel, Status
from edgelab.cri.grpc.connection import ConnectionLost
from edgelab.cri.grpc.stream import StreamReset
from edgelab.edgecore.edged.httpget import join

METHOD = "/grpc.health.v1.Health/Check"
STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


async def check(host: str, port: int, service: str, limit: float) -> tuple[bool, str]:
    """Whether a service serves, and what there is to say if not; `limit` in seconds."""
    where = join(host, port)
    channel = Channel.tcp(host, port)
    try:
        answer = await channel.call(METHOD, question(service), limit)
    except TimeoutError:
        return False, f"timeout: health rpc did not complete within {limit:g}s"
    except CallFailed as error:
        return False, _refused(error, limit)
    except OSError as error:
        return False, f'error: failed to connect service at "{where}": {error.strerror or error}'
    except (ConnectionLost, StreamReset) as error:
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


def _refused(error: CallFailed, limit: float) -> str:
    text = str(error)
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

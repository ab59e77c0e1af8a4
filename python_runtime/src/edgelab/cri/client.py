"""gRPC calls over the unix socket of a container runtime, with errors that name the cause."""

from __future__ import annotations

from typing import Any, TypeVar

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.grpc.channel import CallFailed, Channel
from edgelab.cri.grpc.connection import ConnectionLost
from edgelab.cri.grpc.stream import StreamReset
from edgelab.daemon.errors import Fatal

T = TypeVar("T")


def socket_path(endpoint: str) -> str:
    """The file behind `unix:///run/x.sock` (or a bare path). Raises Fatal for any other scheme."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        return endpoint
    if scheme != "unix" or not rest.startswith("/"):
        raise Fatal(
            f"containerRuntimeEndpoint {endpoint!r} cannot be used: expected unix:///path/of/the/socket"
        )
    return rest


class Client:
    """One HTTP/2 connection to a runtime, opened at the first call and again after it was lost."""

    def __init__(self, endpoint: str) -> None:
        self.path = socket_path(endpoint)
        self._channel = Channel.unix(self.path)

    async def call(self, method: str, request: Any, answer: type[T], deadline: float) -> T:
        """One unary call. `method` is `Service/Method`, `deadline` in seconds.

        Raises RuntimeUnreachable when there is no connection, CriError for every error answer.
        """
        try:
            reply = await self._channel.call(f"/runtime.v1.{method}", request.SerializeToString(), deadline)
        except CallFailed as error:
            raise CriError(error.status.name, str(error)) from None
        except TimeoutError:
            raise CriError("DEADLINE_EXCEEDED", f"{method} took longer than {deadline:.0f} s") from None
        except (OSError, ConnectionLost, StreamReset) as error:
            raise RuntimeUnreachable(self._explain(error)) from None
        kind: Any = answer
        found: T = kind.FromString(reply)
        return found

    def close(self) -> None:
        """Drop the connection."""
        self._channel.close()

    def _explain(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError):
            return (
                f"no container runtime: its socket {self.path} does not exist "
                "(is containerd installed and running?)"
            )
        if isinstance(error, ConnectionRefusedError):
            return f"no container runtime: nobody listens on {self.path} (is containerd running?)"
        if isinstance(error, PermissionError):
            return f"no container runtime: {self.path} may not be opened by this user"
        cause = str(error) or type(error).__name__
        return f"the connection to the container runtime on {self.path} was lost: {cause}"

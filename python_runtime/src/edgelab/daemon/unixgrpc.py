"""gRPC over unix sockets: unary calls in both directions, with errors that name the cause.

Loads grpclib: whoever needs it only sometimes imports it then.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from google.protobuf.message import DecodeError

from edgelab.daemon.withouttls import without_tls

with without_tls():
    from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from edgelab.daemon.errors import Unreachable

log = logging.getLogger(__name__)

LIMIT = 4 << 20
"""Bytes of a request: the default of every gRPC library, which grpclib alone does not have."""

ACCEPT_PAUSE = 1.0
"""Seconds without accepting, when the machine refuses a connection."""


class Call(NamedTuple):
    """A method that is served: its path, its message types, and who answers."""

    path: str
    request: type[Any]
    answer: type[Any]
    work: Callable[[Any], Awaitable[Any]]


class CallError(Exception):
    """The other side answered with an error; `status` is gRPC's name for it."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class InvalidArgument(GRPCError):
    """A request is refused; the text begins with the field that is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(Status.INVALID_ARGUMENT, message)


async def serve(sock: socket.socket, calls: Iterable[Call], limit: int = LIMIT) -> NoReturn:
    """Answer on a listening socket until cancelled; then it and every connection are closed."""
    server = _Server(sock, [_Calls(calls, limit)])
    server.begin()
    try:
        await asyncio.Event().wait()
    finally:
        await server.end()
    raise AssertionError


class Peer:
    """One HTTP/2 connection to a socket, opened at the first call and again after it was lost."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._channel: Channel | None = None

    async def call(self, path: str, request: Any, answer: type[Any], deadline: float) -> Any:
        """One unary call; `deadline` in seconds. Raises Unreachable or CallError."""
        if self._channel is None:
            self._channel = Channel(path=self.path)
        method: Any = UnaryUnaryMethod(self._channel, path, type(request), answer)
        late = f"no answer within {deadline:g} s"
        try:
            return await method(request, timeout=deadline)
        except GRPCError as error:
            # The server knows the deadline too, and may be the first to notice; it says nothing more.
            reason = late if error.status is Status.DEADLINE_EXCEEDED else error.status.name
            raise CallError(error.status.name, error.message or reason) from None
        except TimeoutError:
            raise CallError("DEADLINE_EXCEEDED", late) from None
        except (
            OSError,
            StreamTerminatedError,
            ProtocolError,
            AssertionError,
            asyncio.IncompleteReadError,
        ) as e:
            self.close()
            cause = getattr(e, "strerror", None) or str(e) or type(e).__name__
            raise Unreachable(f"{self.path}: {cause}") from None

    def close(self) -> None:
        """Drop the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class _Calls:
    def __init__(self, calls: Iterable[Call], limit: int) -> None:
        self._calls = list(calls)
        self._limit = limit

    def __mapping__(self) -> dict[str, Handler]:
        return {
            call.path: Handler(self._serve(call), Cardinality.UNARY_UNARY, call.request, call.answer)
            for call in self._calls
        }

    def _serve(self, call: Call) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        async def work(stream: Stream[Any, Any]) -> None:
            request = await _receive(stream, call.request, self._limit)
            await stream.send_message(await call.work(request))

        return work


async def _receive(stream: Stream[Any, Any], kind: type[Any], limit: int) -> Any:
    """The request. grpclib itself would collect as much as a length of 32 bits promises."""
    name = kind.__name__
    read = stream._stream.recv_data
    try:
        head = await read(5)
        if not head:
            raise InvalidArgument(f"{name}: the call carries no message")
        size = int.from_bytes(head[1:])
        if head[0]:
            raise GRPCError(Status.UNIMPLEMENTED, f"{name}: compressed messages are not taken")
        if size > limit:
            text = f"{name}: the message has {size} bytes, {limit} at most are taken"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)
        data = await read(size)
    except AssertionError:  # how grpclib says that a stream ended early
        raise InvalidArgument(f"{name}: the message is shorter than it says") from None
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidArgument(f"{name}: this is no such message, or it has text that is not UTF-8") from None


class _Server(Server):
    """grpclib's server for a socket that listens already; its own start knows only paths and TCP.

    It accepts by itself: asyncio's server loses a connection that comes in the moment in which it is closed.
    """

    def __init__(self, sock: socket.socket, handlers: list[Any]) -> None:
        super().__init__(handlers)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._making: set[asyncio.Task[Any]] = set()
        self._protocols: weakref.WeakSet[H2Protocol] = weakref.WeakSet()
        self._pause: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Accept from now on."""
        self._loop.add_reader(self._sock, self._readable)

    async def end(self) -> None:
        """Accept no more, and close what is connected."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        if self._pause is not None:
            self._pause.cancel()
        if self._making:
            await asyncio.wait(self._making)
        for protocol in list(self._protocols):
            protocol.handler.close()
            if hasattr(protocol, "connection"):
                protocol.connection.close()

    def _readable(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # no more file descriptors, say: the caller waits meanwhile
            log.error("a connection cannot be accepted: %s", error)
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(ACCEPT_PAUSE, self.begin)
            return
        connection.setblocking(False)
        making = self._loop.create_task(self._loop.connect_accepted_socket(self._accept, connection))
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    def _accept(self) -> H2Protocol:
        protocol = self._protocol_factory()
        self._protocols.add(protocol)
        return protocol

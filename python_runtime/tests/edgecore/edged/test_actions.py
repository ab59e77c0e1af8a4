"""Probe actions against real servers: words of failures, redirects, headers, gRPC health."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from tests.edgecore.edged.fake_runtime import FakeRuntime
from tests.edgecore.edged.samples import HandClock, container

from edgelab.cri.errors import CriError
from edgelab.edgecore.edged import actions, grpchealth, httpget
from edgelab.edgecore.edged.actions import CannotTell, Outcome, Target

Obj = dict[str, Any]
SPEC = {"name": "main", "ports": [{"name": "web", "containerPort": 0}]}


@contextlib.asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server on a free port; at the end all of its connections are closed."""
    busy: set[asyncio.Task[None]] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.sleep(0)
    await asyncio.gather(*busy)


@contextlib.asynccontextmanager
async def serving(answer: Callable[[str], str], seen: list[str] | None = None) -> AsyncIterator[int]:
    """An HTTP server that answers with what `answer(path)` gives; keeps request heads in `seen`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if seen is not None:
            seen.append(head)
        writer.write(answer(head.split()[1]).encode())

    async with listening(talk) as port:
        yield port


def reply(status: str, *headers: str, body: str = "") -> str:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body])


async def probe(action: Obj, *, spec: Obj | None = None, limit: float = 5.0) -> Outcome:
    target = Target(spec or SPEC, container(), "127.0.0.1")
    return await actions.probe(FakeRuntime(HandClock()), target, action, limit)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(("status", "good"), [("200 OK", True), ("399 X", True), ("400 Bad", False)])
async def test_http_status_decides(status: str, good: bool) -> None:
    async with serving(lambda _: reply(status, body="text")) as port:
        outcome = await probe({"httpGet": {"port": port, "path": "/well?a=b"}})
    assert outcome.good is good
    assert outcome.text == ("text" if good else "HTTP probe failed with statuscode: 400")


async def test_request_carries_the_headers_of_the_kubelet_and_of_the_pod() -> None:
    seen: list[str] = []
    given = [{"name": "Host", "value": "shop.example"}, {"name": "X-A", "value": "1"}]
    async with serving(lambda _: reply("200 OK"), seen) as port:
        await probe(
            {"httpGet": {"port": "web", "path": "well?a=b", "httpHeaders": given}},
            spec={"name": "main", "ports": [{"name": "web", "containerPort": port}]},
        )
    lines = seen[0].split("\r\n")
    assert lines[0] == "GET /well?a=b HTTP/1.1"
    assert {"Host: shop.example", "X-A: 1", "User-Agent: kube-probe/1.32", "Accept: */*"} <= set(lines)


async def test_redirects_are_followed_on_the_same_host_only() -> None:
    def answer(path: str) -> str:
        return {
            "/": reply("302 Found", "Location: /next"),
            "/next": reply("500 No"),
            "/away": reply("301 Moved", "Location: http://elsewhere.invalid/", body="gone"),
            "/loop": reply("302 Found", "Location: /loop"),
        }[path]

    async with serving(answer) as port:
        followed = await probe({"httpGet": {"port": port}})
        away = await probe({"httpGet": {"port": port, "path": "/away"}})
        loop = await probe({"httpGet": {"port": port, "path": "/loop"}})
    assert followed == Outcome(False, "HTTP probe failed with statuscode: 500")
    assert away == Outcome(True, "Probe terminated redirects, Response body: gone", warning=True)
    assert (loop.good, loop.text) == (
        False,
        f'Get "http://127.0.0.1:{port}/loop": stopped after 10 redirects',
    )


async def test_https_is_not_verified_and_plain_http_is_no_answer_to_it() -> None:
    async with serving(lambda _: reply("200 OK")) as port:
        outcome = await probe({"httpGet": {"port": port, "scheme": "HTTPS"}})
    assert not outcome.good
    context = httpget._context()
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)


async def test_refused_and_silent_servers_are_told_apart() -> None:
    port = free_port()
    refused = await probe({"httpGet": {"port": port}})
    assert refused.text == (
        f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    assert (await probe({"tcpSocket": {"port": port}})).text == (
        f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass  # until the prober gives up

    async with listening(say_nothing) as port:
        outcome = await probe({"httpGet": {"port": port}}, limit=0.1)
        assert (await probe({"tcpSocket": {"port": port}})).good
    assert "context deadline exceeded" in outcome.text


async def test_unknown_port_name_and_unknown_kind_say_nothing_about_the_container() -> None:
    for action in ({"httpGet": {"port": "nope"}}, {"tcpSocket": {"port": "nope"}}, {}):
        with pytest.raises(CannotTell):
            await probe(action)


async def test_command_that_takes_too_long_has_failed() -> None:
    runtime = FakeRuntime(HandClock())
    target = Target(SPEC, container(), "")
    runtime.found["main-0"] = runtime_status()
    runtime.commands["main"] = CriError("DEADLINE_EXCEEDED", "late")
    outcome = await actions.probe(runtime, target, {"exec": {"command": ["a", "b"]}}, 1.0)
    assert outcome == Outcome(False, 'command "a b" timed out after 1s')


def runtime_status() -> Any:
    from edgelab.cri.api import runtime_pb2 as pb

    return pb.ContainerStatus(id="main-0", metadata=pb.ContainerMetadata(name="main"))


class Plain(CodecBase):
    """Messages are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


class Health:
    """A server of the health protocol: `answer` is the bytes of a response or an error."""

    def __init__(self, answer: bytes | GRPCError) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def __mapping__(self) -> dict[str, Handler]:
        return {grpchealth.METHOD: Handler(self._check, Cardinality.UNARY_UNARY, bytes, bytes)}

    async def _check(self, stream: Stream[Any, Any]) -> None:
        self.asked.append(await stream.recv_message())
        if isinstance(self.answer, GRPCError):
            raise self.answer
        await stream.send_message(self.answer)


@contextlib.asynccontextmanager
async def health(answer: bytes | GRPCError) -> AsyncIterator[tuple[int, Health]]:
    service = Health(answer)
    server = Server([service], codec=Plain())
    port = free_port()
    await server.start("127.0.0.1", port)
    try:
        yield port, service
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "good", "text"),
    [
        (b"\x08\x01", True, ""),
        (b"\x08\x02", False, 'service unhealthy (responded with "NOT_SERVING")'),
        (b"", False, 'service unhealthy (responded with "UNKNOWN")'),
    ],
)
async def test_grpc_health_is_what_the_service_says(answer: bytes, good: bool, text: str) -> None:
    async with health(answer) as (port, service):
        outcome = await probe({"grpc": {"port": port, "service": "shop"}})
    assert outcome == Outcome(good, text)
    assert service.asked == [b"\x0a\x04shop"]


async def test_grpc_server_without_the_protocol_and_none_at_all() -> None:
    async with health(GRPCError(Status.UNIMPLEMENTED, "unknown service")) as (port, _):
        outcome = await probe({"grpc": {"port": port}})
    assert "does not implement the grpc health protocol" in outcome.text
    port = free_port()
    refused = await probe({"grpc": {"port": port}})
    assert f'failed to connect service at "127.0.0.1:{port}"' in refused.text

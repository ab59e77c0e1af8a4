"""ServiceBus on a real store, with real services and programs on loopback, and a hub that a test controls."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.cloud_peer import Pki
from tests.edgecore.processes import free_port, listens

from edgelab.daemon.clock import SystemClock
from edgelab.edgecore.interfaces import NoAnswer, Offline
from edgelab.edgecore.servicebus import caller, calls
from edgelab.edgecore.servicebus.module import ServiceBus
from edgelab.edgecore.store import META_TABLES, SERVICE_TABLES, Store
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.settings import edgecore as settings

SECONDS = 20
URL = "http://in.the/cloud"


class FakeHub:
    """The cloud: keeps what goes up, and answers requests with `reply`."""

    connected = True

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.reply: Callable[[Message], Awaitable[Message]] = self.offline

    async def offline(self, message: Message) -> Message:
        raise Offline("CloudCore is not connected")

    async def send(self, message: Message) -> None:
        await self.sent.put(message)

    async def request(self, message: Message, deadline: float) -> Message:
        await self.sent.put(message)
        return await self.reply(message)

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        pass

    async def next(self) -> Message:
        async with asyncio.timeout(SECONDS):
            return await self.sent.get()


class QuickClock(SystemClock):
    """Does not wait long before it tries again."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.02))


@contextlib.asynccontextmanager
async def bus(directory: Path, hub: FakeHub, **values: Any) -> AsyncIterator[ServiceBus]:
    config = settings.ServiceBus(enable=True, **{"port": free_port(), **values})
    async with Store(directory / "e.db", META_TABLES + SERVICE_TABLES) as store:
        made = ServiceBus(config, store, hub, QuickClock())
        running = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            for _ in range(4):  # transports close in turns of the loop of their own
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def service(
    answer: bytes, *, hold: asyncio.Event | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A service that reads one request on each connection and answers with these bytes."""
    got: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
        got.append(head + await reader.readexactly(length))
        if hold is not None:
            await hold.wait()
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=32 << 20)
    async with server:
        yield server.sockets[0].getsockname()[1], got
        if hold is not None:
            hold.set()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def wish(resource: str, content: Any = None, operation: str = "POST") -> Message:
    return wire.new(
        source="router_servicebus", group="user", operation=operation, resource=resource, content=content
    )


def request(body: bytes = b"", method: str = "POST", **more: Any) -> dict[str, Any]:
    header = {"X-Test": ["1", "2"], "Content-Length": [str(len(body))], "Connection": ["keep-alive"]}
    return {
        "header": header,
        "body": base64.b64encode(body).decode(),
        "method": method,
        "url": "",
        **more,
    }


async def outcome(hub: FakeHub, question: Message) -> tuple[int, bytes, dict[str, list[str]]]:
    reply = await hub.next()
    assert reply.parent_id == question.id
    assert (reply.route.source, reply.route.group) == ("servicebus", "user")
    assert (reply.route.operation, reply.route.resource) == ("upload", "")
    content = reply.value()
    return content["status_code"], base64.b64decode(content["body"]), content["header"]


async def post(port: int, body: bytes, tls: ssl.SSLContext | None = None) -> Any:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(int(line.split()[1]) for line in head.split(b"\r\n") if line.startswith(b"content-len"))
        answer = json.loads(await reader.readexactly(length))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return answer


async def closed(made: ServiceBus, port: int) -> None:
    """Wait until nothing listens. Who tries in the middle of it may meet a server that half is gone."""
    async with asyncio.timeout(SECONDS):
        while made.server is not None:
            await asyncio.sleep(0.005)
    with pytest.raises(OSError):  # noqa: PT011 - refused, in whatever words
        await asyncio.open_connection("127.0.0.1", port)


def envelope(url: str = URL, payload: Any = "p") -> bytes:
    return json.dumps({"method": "POST", "targetURL": url, "payload": payload}).encode()


async def test_a_service_gets_the_request_and_its_answer_goes_up_whole(tmp_path: Path) -> None:
    hub = FakeHub()
    body = bytes(range(256))
    answer = b"HTTP/1.1 409 Conflict\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer += b"3\r\n\xff\x00b\r\n0\r\n\r\n"
    async with bus(tmp_path, hub) as made, service(answer) as (port, got):
        question = wish(f"{port}:/target?a=b:c", request(body, "PUT"))
        await made.receive(question)
        status, text, header = await outcome(hub, question)
        assert (status, text, header["X-A"]) == (409, b"\xff\x00b", ["1", "2"])
        head, _, sent = got[0].partition(b"\r\n\r\n")
        assert sent == body
        assert head.startswith(b"PUT /target?a=b:c HTTP/1.1\r\n")
        assert head.count(b"X-Test") == 2
        assert b"Accept: */*" in head
        assert b"keep-alive" not in head
        assert head.lower().count(b"content-length") == 1


async def test_twelve_mib_pass_both_ways_and_more_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()
    large = bytes(12 << 20)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large)
    async with bus(tmp_path, hub) as made, service(head + large) as (port, got):
        question = wish(f"{port}:/", request(large))
        await made.receive(question)
        assert (await outcome(hub, question))[:2] == (200, large)
        assert len(got[0]) > len(large)
        monkeypatch.setattr(caller, "LARGEST", 1000)
        await made.receive(question := wish(f"{port}:/", request()))
        assert (await outcome(hub, question))[:2] == (502, b"the service's answer is larger than 1000 bytes")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b"", 502, b"closed the connection without an answer"),
        (b"SSH-2.0-x\r\n", 502, b"without an answer"),
        (b"HTTP/9 x\r\n\r\n", 502, b"does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 502, b"does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, 502, b"does not speak HTTP"),
    ],
)
async def test_an_answer_that_is_none_is_told(
    tmp_path: Path, answer: bytes, status: int, text: bytes
) -> None:
    hub = FakeHub()
    async with bus(tmp_path, hub) as made, service(answer) as (port, _):
        await made.receive(question := wish(f"{port}:/", request()))
        found = await outcome(hub, question)
        assert found[0] == status
        assert text in found[1]
        assert found[2] == {"Server": ["kubeedge-edgecore"]}


async def test_errors_have_the_originals_words_and_an_operation(tmp_path: Path) -> None:
    hub = FakeHub()
    async with bus(tmp_path, hub) as made:
        wrong = {
            f"{free_port()}:/x": (request(), 404, b"error to call service: "),
            "x:/y": (request(), 400, b"'x:/y' is not PORT:/PATH"),
            "70000:/y": (request(), 400, b"is not PORT:/PATH"),
            "80:/y": ("nonsense", 400, b"the request cannot be read"),
            "81:/y": (request() | {"body": "*"}, 400, b"the request cannot be read"),
            "82:/a b": (request(), 400, b"the request cannot be sent"),
            "83:/a": (request() | {"header": {"X\r\nY": ["1"]}}, 400, b"the request cannot be sent"),
        }
        for resource, (content, status, text) in wrong.items():
            await made.receive(question := wish(resource, content))
            found = await outcome(hub, question)
            assert found[0] == status, resource
            assert text in found[1], resource


async def test_a_service_has_the_time_that_the_cloud_gives_it(tmp_path: Path) -> None:
    hub, held = FakeHub(), asyncio.Event()
    async with bus(tmp_path, hub) as made, service(b"", hold=held) as (port, _):
        await made.receive(question := wish(f"{port}:/", request(timeout=0.2)))
        found = await outcome(hub, question)
        assert found[:2] == (504, b"the service did not answer within 0.2 s")


async def test_calls_under_way_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS", 2)
    hub, held = FakeHub(), asyncio.Event()
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with bus(tmp_path, hub) as made, service(answer, hold=held) as (port, _):
        for _ in range(2):
            await made.receive(wish(f"{port}:/", request()))
        await made.receive(question := wish(f"{port}:/", request()))
        assert (await outcome(hub, question))[0] == 503
        held.set()
        for _ in range(2):
            assert (await hub.next()).value()["status_code"] == 204
        await made.receive(question := wish(f"{port}:/", request()))
        assert (await outcome(hub, question))[0] == 204


async def test_the_listener_is_open_while_there_is_a_url_and_after_a_restart(tmp_path: Path) -> None:
    hub, port = FakeHub(), free_port()
    async with bus(tmp_path, hub, port=port) as made:
        await closed(made, port)
        await made.receive(wish(URL, operation="start"))
        await made.receive(wish("http://other/x", operation="start"))
        await listens(port)
    async with bus(tmp_path, hub, port=port) as made:
        await listens(port)
        await made.receive(wish("http:/other/x", operation="stop"))  # as the original's CloudCore writes it
        assert (await post(port, envelope("http://other/x")))["code"] == 400
        await made.receive(wish(URL, operation="stop"))
        await closed(made, port)
        await made.receive(wish(URL, operation="start"))
        await listens(port)
        await made.receive(wish(URL, operation="stop"))
    async with bus(tmp_path, hub, port=port) as made:
        await closed(made, port)


async def test_a_program_gets_what_the_target_answered(tmp_path: Path) -> None:
    hub, port = FakeHub(), free_port()

    async def reply(question: Message) -> Message:
        return wire.reply(question, '{"ok":true}')

    hub.reply = reply
    async with bus(tmp_path, hub, port=port) as made:
        await made.receive(wish(URL, operation="start"))
        await listens(port)
        found = await post(port, envelope())
        assert found == {
            "code": 200,
            "msg": "receive response from cloud successfully",
            "body": '{"ok":true}',
        }
        sent = await hub.next()
        assert (sent.route.source, sent.route.group) == ("servicebus", "user")
        assert (sent.route.operation, sent.route.resource) == ("upload", URL)
        assert base64.b64decode(sent.value()) == envelope()


async def test_a_program_is_told_what_went_wrong(tmp_path: Path) -> None:
    hub, port = FakeHub(), free_port()
    async with bus(tmp_path, hub, port=port) as made:
        await made.receive(wish(URL, operation="start"))
        await listens(port)
        other = "url http://x is not allowed and please make a rule for this url in the cloud"
        assert await post(port, envelope("http://x")) == {"code": 400, "msg": other, "body": ""}
        for nonsense in (b"", b"{", b"[]", b'{"targetURL": 1}', b"[" * 100_000):
            assert await post(port, nonsense) == {"code": 400, "msg": "invalid params", "body": ""}
        assert (await post(port, envelope()))["code"] == 503
        assert (await post(port, envelope(payload="x" * (5 << 20))))["code"] == 413

        async def late(question: Message) -> Message:
            raise NoAnswer("late")

        async def failed(question: Message) -> Message:
            return wire.error(question, "status 418", source="servicebus")

        hub.reply = late
        assert (await post(port, envelope()))["msg"].startswith("timeout to get response for message ")
        hub.reply = failed
        assert await post(port, envelope()) == {"code": 502, "msg": "status 418", "body": ""}


async def test_with_certificates_the_listener_speaks_tls_and_takes_renewed_ones(tmp_path: Path) -> None:
    hub, port = FakeHub(), free_port()
    Pki.create(tmp_path)
    files = {"tlsCertFile": str(tmp_path / "cloud.crt"), "tlsPrivateKeyFile": str(tmp_path / "cloud.key")}
    tls = ssl.create_default_context(cafile=str(tmp_path / "rootCA.crt"))
    tls.check_hostname = False

    async def serial() -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        try:
            return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.close()

    async with bus(tmp_path, hub, port=port, **files) as made:
        await made.receive(wish(URL, operation="start"))
        await listens(port)
        assert (await post(port, b"{}", tls))["msg"] == "invalid params"
        before = await serial()
        again = Pki.create(tmp_path / "again").directory
        for name in ("cloud.crt", "cloud.key"):
            (tmp_path / name).write_bytes((again / name).read_bytes())
        tls.load_verify_locations(again / "rootCA.crt")
        assert await serial() != before


async def test_recorded_calls_get_replies_of_the_recorded_shape(tmp_path: Path) -> None:
    """But for the operation, without which a Go CloudCore cannot route the reply to a failed call."""
    path = Path(__file__).parents[2] / "protocol" / "vectors" / "wire" / "37-servicebus.jsonl"
    frames = [wire.decode(json.dumps(json.loads(line)["msg"])) for line in path.read_text().splitlines()]
    replies = {frame.parent_id: frame for frame in frames if frame.route.source == "servicebus"}
    recorded = {f.route.resource: (f, replies[f.id]) for f in frames if f.id in replies and not f.parent_id}
    calls_of = {r: pair for r, pair in recorded.items() if pair[0].route.source == "router_servicebus"}
    assert sorted(calls_of) == ["1:/target", "29666:/target"]
    hub = FakeHub()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n"
    answer += base64.b64decode(calls_of["29666:/target"][1].value()["body"])
    async with bus(tmp_path, hub) as made, service(answer) as (port, got):
        for resource, (question, reply) in calls_of.items():
            question.route.resource = resource.replace("29666", str(port))
            await made.receive(question)
            found, wanted = (await hub.next()), reply.value()
            assert (found.parent_id, found.route.source) == (question.id, reply.route.source)
            assert (found.route.group, found.route.operation) == ("user", "upload")
            content = found.value()
            assert content["status_code"] == wanted["status_code"]
            assert set(content["header"]) <= set(wanted["header"])
            text = base64.b64decode(content["body"])
            assert text.startswith(base64.b64decode(wanted["body"]))
    assert got[0].endswith(b"\r\n\r\nhello")

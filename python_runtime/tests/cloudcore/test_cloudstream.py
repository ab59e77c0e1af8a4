"""CloudStream: recorded sessions with a node of the original, who may what, and what is published."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cloudcore.cloud import Api
from tests.protocol.tunnel_recordings import Recorded, connections

from edgelab.cloudcore.cloudhub.link import Gone
from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.cloudcore.cloudhub.tls import server_context
from edgelab.cloudcore.cloudstream import server as servers
from edgelab.cloudcore.cloudstream import sessions as tunnels
from edgelab.cloudcore.cloudstream.access import Access, Denied, User
from edgelab.cloudcore.cloudstream.server import StreamServer
from edgelab.cloudcore.cloudstream.sessions import Session, Sessions
from edgelab.identity.ca import CertificateAuthority
from edgelab.protocol import tunnel as wire
from edgelab.protocol.tunnel import Frame, Kind


class Link:
    """The node's WebSocket: the test takes frames out and puts frames in."""

    def __init__(self) -> None:
        self.down: asyncio.Queue[Frame] = asyncio.Queue()
        self._up: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.heard = asyncio.get_running_loop().time()
        self.closed = ""
        self.gone = False
        self.largest = 0

    async def receive(self) -> bytes:
        message = await self._up.get()
        if message is None:
            raise Gone("the network is down")
        return message

    async def send(self, frame: bytes) -> None:
        if self.gone:
            raise Gone("the network is down")
        found = wire.decode(frame)
        self.largest = max(self.largest, len(found.data))
        self.down.put_nowait(found)

    async def close(self, code: int, reason: str) -> None:
        self.closed = reason
        self.cut()

    def cut(self) -> None:
        self.gone = True
        self._up.put_nowait(None)

    def put(self, connection: int, kind: int, data: bytes = b"") -> None:
        self._up.put_nowait(wire.encode(connection, kind, data))

    async def next(self) -> Frame:
        return await asyncio.wait_for(self.down.get(), 10)


class Everybody(Access):
    """Lets everybody do everything."""

    def __init__(self) -> None:
        pass

    async def check(self, *_: Any, **__: Any) -> User:
        return User("test", ())


class Bench:
    def __init__(self, *, extended: bool, access: Access | None = None) -> None:
        self.link = Link()
        self.sessions = Sessions()
        self.session = Session("edge1", "127.0.0.1", self.link, extended=extended)  # type: ignore[arg-type]
        self.nodes = {("default", "x"): "edge1", ("default", "away"): "edge2"}
        self.server = StreamServer(self.sessions, access or Everybody(), lambda *pod: self.nodes.get(pod))
        ca = CertificateAuthority.create("test")
        pair = ca.issue(common_name="x", ip_addresses=["127.0.0.1"], server=True, days=1)
        self.server.tls = server_context(Pki(ca, pair), client_certificate=ssl.CERT_OPTIONAL)
        self.port = 0

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)

    async def ask(
        self, target: str, method: str = "GET", headers: dict[str, list[str]] | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.dial()
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1:10351"]
        lines += [f"{name}: {value}" for name, values in (headers or {}).items() for value in values]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return reader, writer

    async def answer(self, target: str, **more: Any) -> tuple[str, bytes]:
        """Status line and body of what is answered at once."""
        reader, writer = await self.ask(target, **more)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        return head.decode().split("\r\n")[0], body


@contextlib.asynccontextmanager
async def running(
    *, extended: bool = False, node: str = "edge1", access: Access | None = None
) -> AsyncIterator[Bench]:
    bench = Bench(extended=extended, access=access)
    serving = asyncio.create_task(bench.sessions.serve(bench.session))
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    bench.port = sock.getsockname()[1]
    listener = await bench.server.listen(sock, node)
    try:
        yield bench
        async with asyncio.timeout(10):
            while bench.session.streams:
                await asyncio.sleep(0.01)
    finally:
        bench.link.cut()
        await asyncio.wait_for(serving, 10)
        listener.close()
        await bench.server.close()


def name(recorded: Recorded) -> str:
    return f"{recorded.opening.connection}{recorded.connect.url.Path}"


def target_of(recorded: Recorded) -> str:
    url = recorded.connect.url
    return f"{url.Path}?{url.RawQuery}" if url.RawQuery else url.Path


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data


READ = [c for c in connections() if c.kind in (Kind.LOGS, Kind.METRICS)]
JOINED = [c for c in connections() if c.kind in (Kind.EXEC, Kind.ATTACH)]


@pytest.mark.parametrize("recorded", READ, ids=name)
async def test_recorded_logs_and_pages_reach_the_api_server(recorded: Recorded) -> None:
    async with running() as bench:
        header = recorded.connect.header or {}
        reader, writer = await bench.ask(target_of(recorded), headers=header)
        opening = await bench.link.next()
        assert opening.kind == recorded.kind
        found = wire.read_connect(opening.data)
        assert msgspec.to_builtins(found.url) == msgspec.to_builtins(recorded.connect.url)
        assert found.header == header
        assert found.MessID == opening.connection
        for side, frame in recorded.frames:
            if side == "edge":
                bench.link.put(opening.connection, frame.kind, frame.data)
        bench.link.put(opening.connection, Kind.REMOVE)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert unchunked(body) == recorded.sent("edge")


@pytest.mark.parametrize("recorded", JOINED, ids=name)
async def test_recorded_commands_reach_the_api_server_byte_by_byte(recorded: Recorded) -> None:
    async with running() as bench:
        header = recorded.connect.header or {}
        reader, writer = await bench.ask(target_of(recorded), "POST", header)
        opening = await bench.link.next()
        number, found = opening.connection, wire.read_connect(opening.data)
        assert (opening.kind, found.method) == (recorded.kind, "POST")
        assert found.header == header
        down, got = b"", b""
        for side, frame in recorded.frames:
            if frame.kind != Kind.DATA:
                continue
            if side == "edge":
                bench.link.put(number, Kind.DATA, frame.data)
                got += await asyncio.wait_for(reader.readexactly(len(frame.data)), 10)
            else:
                writer.write(frame.data)
                while len(down) < len(recorded.sent("cloud")[: len(down)]) + len(frame.data):
                    down += (await bench.link.next()).data
                    break
        assert got == recorded.sent("edge")
        bench.link.put(number, Kind.REMOVE)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        while not bench.link.down.empty():
            down += bench.link.down.get_nowait().data
        assert down == recorded.sent("cloud")


async def test_a_client_that_goes_away_ends_it_at_the_node() -> None:
    async with running() as bench:
        reader, writer = await bench.ask("/containerLogs/default/x/c?follow=true")
        number = (await bench.link.next()).connection
        bench.link.put(number, Kind.DATA, b"line\n")
        assert b"200 OK" in await reader.readline()
        writer.close()
        assert await bench.link.next() == (number, Kind.REMOVE, b"")
        bench.link.put(number, Kind.DATA, b"late\n")  # and nobody minds


async def test_a_node_of_ours_says_how_a_request_ended() -> None:
    async with running(extended=True) as bench:
        reader, writer = await bench.ask("/containerLogs/default/x/c")
        number = (await bench.link.next()).connection
        bench.link.put(number, Kind.HEAD, msgspec.json.encode(wire.Head(400)))
        bench.link.put(number, Kind.DATA, b"waiting to start\n")
        bench.link.put(number, Kind.REMOVE)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"waiting to start" in answer
        writer.close()


async def test_a_cut_tunnel_is_no_good_end() -> None:
    async with running() as bench:
        reader, writer = await bench.ask("/containerLogs/default/x/c?follow=true")
        number = (await bench.link.next()).connection
        bench.link.put(number, Kind.DATA, b"line\n")
        while b"line" not in await asyncio.wait_for(reader.readline(), 10):
            pass
        bench.link.cut()
        rest = await asyncio.wait_for(reader.read(), 10)
        assert b"0\r\n\r\n" not in rest  # the mark of a complete answer
        writer.close()


async def test_without_an_answer_the_client_is_told_which_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "ANSWER_SECONDS", 0.2)
    upgrade = {"Connection": ["Upgrade"], "Upgrade": ["SPDY/3.1"]}
    async with running() as bench:
        status, body = await bench.answer("/exec/default/x/c?command=ls", method="POST", headers=upgrade)
        assert (status, body) == ("HTTP/1.1 502 Bad Gateway", b"node edge1 gives no answer\n")
        bench.link.gone = True
        status, body = await bench.answer("/containerLogs/default/x/c")
        assert status == "HTTP/1.1 502 Bad Gateway"
        assert body == b"the tunnel of node edge1 was cut: the network is down\n"


@pytest.mark.parametrize("extended", [True, False])
async def test_who_does_not_read_holds_up_nobody_else(
    extended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnels, "STALL_SECONDS", 0.3)
    async with running(extended=extended) as bench:
        reader, writer = await bench.ask("/containerLogs/default/x/slow")
        slow = (await bench.link.next()).connection
        if extended:
            bench.link.put(slow, Kind.HEAD, msgspec.json.encode(wire.Head(200)))
        await reader.readline()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(400):  # a node that heeds no credit
            bench.link.put(slow, Kind.DATA, bytes(wire.CHUNK))
        quick_reader, quick_writer = await bench.ask("/containerLogs/default/x/quick")
        while (opening := await bench.link.next()).kind != Kind.LOGS:
            pass
        if extended:
            bench.link.put(opening.connection, Kind.HEAD, msgspec.json.encode(wire.Head(200)))
        bench.link.put(opening.connection, Kind.DATA, b"quick\n")
        bench.link.put(opening.connection, Kind.REMOVE)
        assert b"quick\n" in await asyncio.wait_for(quick_reader.read(), 20)
        quick_writer.close()
        stream = bench.session.streams.get(slow)
        assert stream is None or stream.inbox.size <= wire.DATA_LIMIT
        writer.transport.abort()


async def test_a_newer_tunnel_takes_the_place_of_the_older_one() -> None:
    async with running() as bench:
        reader, writer = await bench.ask("/containerLogs/default/x/c?follow=true")
        await bench.link.next()
        link = Link()
        newer = Session("edge1", "127.0.0.1", link, extended=False)  # type: ignore[arg-type]
        serving = asyncio.create_task(bench.sessions.serve(newer))
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert bench.link.closed == "a newer one of the node took its place"
        assert bench.sessions.of("edge1") is newer
        link.cut()
        await serving
        assert bench.sessions.of("edge1") is None


async def test_a_silent_node_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "SILENT_SECONDS", 0.2)
    link = Link()
    session = Session("edge1", "", link, extended=False)  # type: ignore[arg-type]
    await asyncio.wait_for(session.serve(), 10)
    assert link.closed == "it was silent for 0.2 s"


async def test_what_is_not_served_is_refused() -> None:
    async with running() as bench:
        for target, method, status, text in (
            ("/pods", "GET", 404, b"page not found"),
            ("/run/default/x/c", "POST", 404, b"page not found"),
            ("/containerLogs/default/x/c", "POST", 404, b"page not found"),
            ("/exec/default/x/c?command=ls", "POST", 400, b"Upgrade request required"),
            ("/containerLogs/default/away/c", "GET", 502, b"pod default/away is on node edge2, not on edge1"),
        ):
            found, body = await bench.answer(target, method=method)
            assert found.startswith(f"HTTP/1.1 {status} ")
            assert text in body
        reader, writer = await bench.dial()
        writer.write(b"nonsense\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_on_the_one_port_the_pod_says_which_node_is_meant() -> None:
    async with running(node="") as bench:
        status, body = await bench.answer("/containerLogs/default/away/c")
        assert body == b"node edge2 has no tunnel to this CloudCore (modules.edgeStream)\n"
        for headers in ({}, {"X-Forwarded-Uri": ["/api/v1/nodes/edge1/proxy/stats/summary"]}):
            reader, writer = await bench.ask("/stats/summary", headers=headers)
            opening = await bench.link.next()
            assert opening.kind == Kind.METRICS
            bench.link.put(opening.connection, Kind.REMOVE)
            assert b"200 OK" in await asyncio.wait_for(reader.read(), 10)
            writer.close()
        other = {"X-Forwarded-Uri": ["/api/v1/nodes/edge2/proxy/stats/summary"]}
        status, _ = await bench.answer("/stats/summary", headers=other)
        assert status == "HTTP/1.1 502 Bad Gateway"


class Reviews(Api):
    """An API server that knows one token, and lets one group look into nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []

    async def create(self, resource: Any, obj: Any, *_: Any, **__: Any) -> Any:
        self.asked.append((resource.plural, obj["spec"]))
        if resource.plural == "tokenreviews":
            known = obj["spec"]["token"] == "good"
            user = {"username": "metrics", "groups": ["readers"]}
            return {"status": {"authenticated": known, "user": user if known else {}}}
        allowed = "readers" in obj["spec"]["groups"] or "system:masters" in obj["spec"]["groups"]
        return {"status": {"allowed": allowed, "reason": "" if allowed else "no RBAC policy matched"}}


MASTER = {
    "subject": ((("commonName", "kube-apiserver-kubelet-client"),), (("organizationName", "system:masters"),))
}
NODE = {"subject": ((("organizationName", "system:nodes"),), (("commonName", "system:node:edge1"),))}
ASKED = {"verb": "create", "resource": "proxy", "node": "edge1"}


async def test_who_asks_is_known_by_certificate_or_token_and_the_api_server_decides() -> None:
    api = Reviews()
    access = Access(api)
    assert (await access.check(MASTER, "", **ASKED)).groups == ("system:masters",)
    assert (await access.check(None, "Bearer good", **ASKED)).name == "metrics"
    review = dict(api.asked)["subjectaccessreviews"]
    assert review["resourceAttributes"] == {
        "verb": "create",
        "version": "v1",
        "resource": "nodes",
        "subresource": "proxy",
        "name": "edge1",
    }
    for certificate, token, status, text in (
        (None, "", 401, "Unauthorized"),
        (None, "Bearer bad", 401, "Unauthorized"),
        (None, "Basic good", 401, "Unauthorized"),
        ({"subject": ()}, "", 401, "Unauthorized"),
        (NODE, "Bearer good", 403, "user=system:node:edge1.*no RBAC policy matched"),
    ):
        with pytest.raises(Denied, match=text) as denied:
            await access.check(certificate, token, **ASKED)
        assert denied.value.status == status
    before = len(api.asked)
    await access.check(MASTER, "", **ASKED)
    await access.check(None, "Bearer good", **ASKED)
    assert len(api.asked) == before
    await access.check(MASTER, "", verb="create", resource="proxy", node="edge2")
    assert len(api.asked) == before + 1


async def test_without_the_api_server_nobody_is_let_in(tmp_path: Path) -> None:
    api = Api()
    api.broken = "subjectaccessreviews"
    with pytest.raises(Denied, match="cannot be asked") as denied:
        await Access(api).check(MASTER, "", **ASKED)
    assert denied.value.status == 500


async def test_who_may_not_gets_nothing_from_the_node() -> None:
    async with running(access=Access(Reviews())) as bench:
        status, _ = await bench.answer("/containerLogs/default/x/c")
        assert status == "HTTP/1.1 401 Unauthorized"
        assert bench.link.down.empty()
        _, writer = await bench.ask("/stats/summary", headers={"Authorization": ["Bearer good"]})
        opening = wire.read_connect((await bench.link.next()).data)
        assert "Authorization" not in (opening.header or {})
        writer.close()

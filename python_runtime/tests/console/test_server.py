"""The HTTP side on a real port, over an API server in memory and a database that the test writes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.kube.fake_api import FakeApi

from edgelab.console.board import Board
from edgelab.console.cluster import Cluster
from edgelab.console.feed import Feed
from edgelab.console.guard import Guard
from edgelab.console.health import Health
from edgelab.console.logs import Logs
from edgelab.console.series import Series
from edgelab.console.server import Server
from edgelab.console.stream import Stream
from edgelab.daemon.tasks import Module, run_modules
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES, LEASES, NODES, PODS
from edgelab.objects.status import ApiError

DEADLINE = 20.0
BASIC = base64.b64encode("me:pässword".encode()).decode()


class Database:
    """Answers every query alike, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        series = {"metric": {"__name__": "kubeedge_device_t"}, "values": [[1, "2"]]}
        return web.json_response({"data": {"result": [series]}}, status=self.status)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


class Console:
    """A console whose API server the test fills."""

    def __init__(
        self,
        database: str = "",
        password: str = "",
        most: int = 64,
        stalled: float = 15.0,
        *,
        logs: bool = True,
    ) -> None:
        self.api = FakeApi()
        self.board = Board()
        self.cluster = Cluster(self.api, self.board)
        self.series = Series(database)
        self.health = Health(self.cluster, self.series)
        self.feed = Feed(self.board, self.health, most)
        self.server = Server(
            ["127.0.0.1:0"],
            guard=Guard(["lab.example.com"], password),
            board=self.board,
            health=self.health,
            series=self.series,
            stream=Stream(self.feed, stalled_seconds=stalled),
            logs=Logs(self) if logs else None,
        )

    async def raw(self, method: str, path: str, *, params: dict[str, str], **_: Any) -> bytes:
        """The API server's answer to a request for a log."""
        if "gone" in path:
            raise ApiError(502, "no tunnel to node edge1")
        return f"{method} {path} {params['container']} {params['tailLines']}".encode() + b"\xff"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[aiohttp.ClientSession]:
        modules: list[Module] = [self.server, self.series, self.health, *self.cluster.informers]
        task = asyncio.create_task(run_modules(modules), name="console")
        try:
            await eventually(lambda: self.server.ports)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{self.server.ports[0]}") as session:
                yield session
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def eventually(check: Any) -> Any:
    async with asyncio.timeout(DEADLINE):
        while not (found := check()):
            await asyncio.sleep(0.01)
    return found


async def event(stream: aiohttp.ClientResponse) -> tuple[str, Any]:
    async with asyncio.timeout(DEADLINE):
        name = (await stream.content.readline()).decode().strip().removeprefix("event: ")
        data = (await stream.content.readline()).decode().removeprefix("data: ")
        await stream.content.readline()
    return name, json.loads(data)


async def test_every_file_of_the_page_is_served_with_a_strict_policy() -> None:
    async with Console().running() as session:
        for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")):
            async with session.get(path) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                tag = answer.headers["ETag"]
            async with session.get(path, headers={"If-None-Match": tag}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
        async with session.get("/../settings.py") as answer:
            assert answer.status == 404
        async with session.post("/") as answer:
            assert answer.status == 405


async def test_a_stream_begins_with_the_board_and_follows_the_cluster() -> None:
    console = Console()
    await console.api.create(NODES, {"metadata": {"name": "edge1"}})
    async with console.running() as session:
        await eventually(lambda: ("nodes", "edge1") in console.board)
        async with session.get("/api/events") as stream:
            assert stream.content_type == "text/event-stream"
            name, data = await event(stream)
            assert (name, list(data["rows"]["nodes"])) == ("board", ["edge1"])
            spec = {"renewTime": "2026-08-06T10:00:10.000000Z"}
            await console.api.create(LEASES, {"metadata": {"name": "edge1"}, "spec": spec}, "kube-node-lease")
            pod = {"metadata": {"name": "p"}, "spec": {"containers": []}}
            await console.api.create(PODS, pod, "default")
            seen: dict[str, Any] = {}
            while len(seen) < 2:
                _, data = await event(stream)
                seen |= {key: row for _, key, row in data.get("rows", ())}
            assert (seen["edge1"]["lease"], seen["default/p"]["state"]) == (1_786_010_410_000, "Pending")
        await eventually(lambda: console.feed.clients == 0 or console.board.put(("pods", "x/y"), {}))


async def test_a_page_that_takes_nothing_is_dropped_and_its_place_is_free() -> None:
    console = Console(most=1, stalled=0.2)
    big = "x" * 200_000
    for number in range(100):
        console.board.put(("pods", f"n/{number}"), {"image": big})
    async with console.running() as session:
        reader, writer = await asyncio.open_connection("127.0.0.1", console.server.ports[0], limit=1)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await eventually(lambda: console.feed.clients == 1)
        async with session.get("/api/events") as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
        await eventually(lambda: console.feed.clients == 0)
        writer.close()
        del reader


async def test_curves_are_those_of_a_device_that_is_there_and_are_asked_for_once() -> None:
    database = Database()
    async with database.serving() as url:
        console = Console(url)
        await console.api.create(DEVICES, {"metadata": {"name": "d"}, "spec": {}}, "n")
        await console.api.create(DEVICE_STATUSES, {"metadata": {"name": "d"}}, "n")
        async with console.running() as session:
            await eventually(lambda: ("devices", "n/d") in console.board and not console.series.trouble)
            for _ in range(3):
                async with session.get("/api/series", params={"device": "n/d", "seconds": "300"}) as answer:
                    assert (await answer.json())["curves"] == {"t": [[1000, 2.0]]}
            assert database.asked.count("/api/v1/query_range") == 1
            for device, seconds, status in (("n/x", "300", 404), ("n/d", "7", 400), ("n/d", "", 400)):
                wrong = {"device": device, "seconds": seconds}
                async with session.get("/api/series", params=wrong) as answer:
                    assert (answer.status, "error" in await answer.json()) == (status, True)
            database.status = 500
            async with session.get("/api/series", params={"device": "n/d", "seconds": "900"}) as answer:
                assert answer.status == 503


async def test_health_names_what_cannot_be_read_and_no_reason() -> None:
    async with Console("http://127.0.0.1:1").running() as session, session.get("/healthz") as answer:
        assert answer.status == 503
        assert "time series cannot be read" in await answer.text()
    console = Console()
    async with console.running() as session:
        await eventually(lambda: not console.health.parts())
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic not-base64"}, 401),
        ({"Authorization": "Digest x"}, 401),
        ({"Authorization": "Bearer pässword"}, 200),
        ({"Authorization": f"Basic {BASIC}"}, 200),
    ],
)
async def test_a_password_is_asked_for_everywhere_but_for_health(
    headers: dict[str, str], status: int
) -> None:
    async with Console(password="pässword").running() as session:
        for path in ("/", "/app.js", "/api/series"):
            async with session.get(path, headers=headers) as answer:
                assert answer.status == (400 if path == "/api/series" and status == 200 else status)
                assert ("WWW-Authenticate" in answer.headers) is (status == 401)
        async with session.get("/healthz") as answer:
            assert answer.status in (200, 503)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:9190", True),
        ("[::1]:9190", True),
        ("[fe80::1]", True),
        ("localhost", True),
        ("LAB.example.com.:80", True),
        ("evil.example.com", False),
        ("127.0.0.1.evil.example.com:9190", False),
        ("", False),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str, known: bool) -> None:
    assert Guard(["lab.example.com"]).knows(host) is known


async def test_another_hosts_name_gets_no_page() -> None:
    headers = {"Host": "evil.example.com"}
    async with Console().running() as session, session.get("/", headers=headers) as answer:
        assert answer.status == 421
        assert "console_names" in await answer.text()


async def test_a_log_is_shown_of_pods_that_are_there_and_the_reason_when_there_is_none() -> None:
    console = Console()
    for name in ("web", "gone"):
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await console.api.create(PODS, {"metadata": {"name": name}, "spec": spec}, "default")
    async with console.running() as session:
        await eventually(lambda: ("pods", "default/gone") in console.board)

        async def ask(pod: str, container: str = "c") -> tuple[int, Any]:
            async with session.get("/api/log", params={"pod": pod, "container": container}) as answer:
                return answer.status, await answer.json()

        wanted = "GET /api/v1/namespaces/default/pods/web/log c 500\ufffd"
        assert await ask("default/web") == (200, {"log": wanted})
        assert await ask("default/gone") == (200, {"error": "no tunnel to node edge1"})
        assert (await ask("default/none"))[0] == 404
        assert (await ask("default/web", "side"))[0] == 404


async def test_logs_that_are_switched_off_are_not_asked_for() -> None:
    async with Console(logs=False).running() as session, session.get("/api/log") as answer:
        assert answer.status == 403

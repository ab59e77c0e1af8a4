"""Bad input at the router's port: a clear error, a closed connection, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Edge
from tests.cloudcore.router.crossing import Crossing, crossing

from edgelab.cloudcore.router import intake, listener
from edgelab.cloudcore.router.headers import to_client, to_service


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Crossing]:
    async with crossing(tmp_path, restTimeout=5) as made:
        await made.endpoints()
        await made.rule("down", {"path": "/down"}, {"topic": "down"})
        await made.rule("svc", {"path": "/svc"}, {"path": "/serve"})
        yield made


@pytest.fixture
async def edge(place: Crossing) -> Edge:
    return await place.joined()


async def raw(place: Crossing, request: bytes) -> bytes:
    """Everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(place.cloud.rest.rpartition(":")[2]))
    try:
        writer.write(request)
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 400),
        ("//", 400),
        ("/edge1", 404),
        ("/edge1/default", 404),
        ("/edge1/default/", 404),
        ("/edge1/default//down", 400),
        ("/edge1/default/down/../svc", 400),
        ("/edge1/default/down/%2e%2e/svc", 400),
        ("/edge1/default/down/%2Fetc", 400),
        ("/edge1/default/down/%00", 400),
        ("/edge1/default/down/%0d%0aX:%20y", 400),
        ("/edge1/default/down/%ff", 400),
        ("/edge1/default/down/%zz", 400),
        ("/edge1/default/down/%23", 400),
        ("/edge1/default/down/+", 400),
        ("/edge1/default/down/" + "a" * 1020, 400),
        ("/edge1/default/down/" + "a/" * 70, 400),
        ("/edge1/default/nomatch?/edge1/default/down", 404),
        ("/..%2fedge1/default/down", 400),
        ("http://cloud/edge1/default/down", 400),
        ("*", 400),
    ],
)
async def test_a_path_that_is_none_reaches_nobody(
    place: Crossing, edge: Edge, path: str, status: int
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
    answer = await raw(place, head.encode())
    assert status_of(answer) == status, answer[:200]
    assert not any(message.route.group == "user" for message in edge.received)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +1\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length : 1\r\n",
        b"X: a\r\n b\r\n\x00: c\r\n",
        b"X: " + b"a" * 100_000 + b"\r\n",
    ],
)
async def test_headers_that_two_readers_may_take_in_two_ways_are_refused(
    place: Crossing, edge: Edge, head: bytes
) -> None:
    smuggled = b"POST /edge1/default/down HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nevil"
    request = b"POST /edge1/default/down HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n0\r\n\r\n" + smuggled
    answer = await raw(place, request)
    assert status_of(answer) == 400, answer[:200]
    assert not any(message.route.group == "user" for message in edge.received)


async def test_methods_that_are_none_are_refused(place: Crossing, edge: Edge) -> None:
    for method in ("TRACE", "start", "CONNECT"):
        answer = await raw(
            place, f"{method} /edge1/default/svc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        assert status_of(answer) in (400, 405), answer[:100]
    assert not any(message.route.group == "user" for message in edge.received)


async def test_who_does_not_send_what_was_promised_is_not_waited_for(
    place: Crossing, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "READ_SECONDS", 0.2)
    answer = await raw(place, b"POST /edge1/default/down HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert place.router._rest.budget.used == 0
    assert not any(message.route.group == "user" for message in edge.received)


async def test_who_sends_no_request_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.2)
    async with crossing(tmp_path) as place:
        assert await raw(place, b"") == b""
        assert await raw(place, b"POST /a HTTP/1.1\r\nX: y\r\n") == b""


async def test_connections_and_bytes_are_bounded(
    place: Crossing, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = place.router._rest.budget
    budget.take(intake.LARGEST_OF_ALL)
    status, text, headers = await place.ask("/edge1/default/down")
    assert (status, text) == (503, b"the router has too much to do\n")
    assert headers["Retry-After"] == "1"
    budget.give(intake.LARGEST_OF_ALL)
    assert (await place.ask("/edge1/default/down"))[0] == 200
    monkeypatch.setattr(listener, "CONNECTIONS", 0)
    assert (await raw(place, b"POST /a HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503 ")


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_only_when_it_is_wanted(
    place: Crossing, edge: Edge
) -> None:
    head = "POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
    head += "Content-Length: {}\r\n\r\n"
    answer = await raw(place, head.format("/edge1/default/down", 13 << 20).encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    answer = await raw(place, head.format("/edge1/default/down", 4).encode() + b"body")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert (await edge.pushed("down", "publish")).value() == "body"


def test_headers_of_one_connection_and_broken_ones_are_not_passed_on() -> None:
    pairs = [
        ("host", "a"),
        ("connection", "close, x-mine"),
        ("x-mine", "1"),
        ("te", "trailers"),
        ("x-a", "1"),
    ]
    assert to_service(pairs, 3) == {"Content-Length": ["3"], "X-A": ["1"]}
    answer = {
        "Content-Length": ["9"],
        "Transfer-Encoding": ["chunked"],
        "X-Bad": ["a\r\nSet-Cookie: b"],
        "X Y": ["1"],
        "": ["2"],
        "Set-Cookie": ["a=1", "b=2"],
    }
    assert list(to_client(answer).items()) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]

"""What comes over the wire besides good requests: long, split, pipelined, smuggled, too much."""

from __future__ import annotations

import asyncio

import pytest
from tests.edgesite.apiserver.running import Client
from tests.edgesite.fuzzing.running import trusted
from tests.edgesite.fuzzing.wire import Answer, Connection, Request, read_answer

from edgelab.edgesite.apiserver import watching

MAPS = "/api/v1/namespaces/default/configmaps"
LIMIT = 3 << 20
JSON = (("Content-Type", "application/json"),)


async def sent(client: Client, data: bytes, answers: int = 1) -> list[Answer]:
    """The answers to bytes on a connection of their own."""
    reader, writer = await Connection(client.base, trusted(client)).another()
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            return [await read_answer(reader) for _ in range(answers)]
    finally:
        writer.transport.abort()


async def test_selectors_may_be_as_long_as_go_servers_let_them(client: Client) -> None:
    values = ",".join(f"value-{number:06d}" for number in range(20_000))
    target = f"{MAPS}?labelSelector=app%20in%20({values})"
    (answer,) = await sent(client, Request("GET", target).encode())
    assert (answer.status, answer.json()["items"]) == (200, [])


async def test_a_body_that_is_too_large_is_refused_however_it_comes(client: Client) -> None:
    body = b'{"metadata":{"name":"big"},"data":{"a":"' + b"x" * LIMIT + b'"}}'
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for headers, data in ((JSON, body), ((*JSON, ("Transfer-Encoding", "chunked")), chunked)):
        (answer,) = await sent(client, Request("POST", MAPS, headers, data).encode())
        assert answer.status == 413
        assert answer.json()["message"] == f"Request entity too large: limit is {LIMIT}"
        assert answer.json()["reason"] == "RequestEntityTooLarge"


async def test_pipelined_requests_are_answered_in_their_order(client: Client) -> None:
    names = [f"pipe-{number}" for number in range(5)]
    created = [
        Request("POST", MAPS, JSON, b'{"metadata":{"name":"%s"}}' % name.encode()).encode() for name in names
    ]
    answers = await sent(client, b"".join(created), len(created))
    assert [answer.json()["metadata"]["name"] for answer in answers] == names


async def test_a_request_of_two_lengths_is_refused_and_nothing_after_it_is_done(client: Client) -> None:
    hidden = Request("POST", MAPS, JSON, b'{"metadata":{"name":"smuggled"}}').encode()
    headers = (*JSON, ("Content-Length", "4"), ("Transfer-Encoding", "chunked"))
    (answer,) = await sent(client, Request("POST", MAPS, headers, b"0\r\n\r\n" + hidden).encode())
    assert answer.status == 400
    assert (await client.call("GET", f"{MAPS}/smuggled"))[0] == 404


async def test_a_watcher_that_does_not_read_is_cut_off_and_holds_up_nobody(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STALLED_SECONDS", 0.5)
    reader, writer = await Connection(client.base, trusted(client)).another()
    writer.write(Request("GET", f"{MAPS}?watch=true", ()).encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    for number in range(64):
        body = {"metadata": {"name": f"large-{number}"}, "data": {"a": "x" * 500_000}}
        assert (await client.call("POST", MAPS, body))[0] == 201
    await asyncio.sleep(1.5)
    writer.transport.resume_reading()
    async with asyncio.timeout(20):
        taken = await read_to_the_end(reader)
    writer.transport.abort()
    assert taken < 30_000_000, "the rest was kept for somebody who does not read"


async def read_to_the_end(reader: asyncio.StreamReader) -> int:
    taken = 0
    try:
        while data := await reader.read(100_000):
            taken += len(data)
    except ConnectionError:
        pass
    return taken


async def test_half_a_request_changes_nothing(client: Client) -> None:
    reader, writer = await Connection(client.base, trusted(client)).another()
    body = b'{"metadata":{"name":"half"}}'
    writer.write(Request("POST", MAPS, (*JSON, ("Content-Length", str(len(body) + 1))), body).encode())
    await writer.drain()
    writer.transport.abort()
    del reader
    assert (await client.call("GET", f"{MAPS}/half"))[0] == 404

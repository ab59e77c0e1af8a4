"""What an answer of the database means: done, later, or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.twinexporter.fakes import sample

from edgelab.daemon.errors import Fatal
from edgelab.twinexporter.influx import LONGEST_WAIT, InfluxSink
from edgelab.twinexporter.sink import Away, Refused


class Database:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.status, self.headers = 204, dict[str, str]()
        self.bodies: list[bytes] = []
        self.url = ""

    async def write(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response(
            status=self.status, headers=self.headers, text="because" if self.status > 204 else None
        )


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database()
    app = web.Application()
    app.router.add_post("/write", database.write)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    database.url = f"http://127.0.0.1:{runner.addresses[0][1]}/write"
    yield database
    await runner.cleanup()


@pytest.fixture
async def sink(database: Database) -> AsyncIterator[InfluxSink]:
    sink = InfluxSink(database.url)
    await sink.open()
    yield sink
    await sink.close()


async def test_a_batch_is_one_request_a_line_each(database: Database, sink: InfluxSink) -> None:
    await sink.write([sample(1), sample(2)])
    [body] = database.bodies
    assert [line.rpartition(b" ")[2] for line in body.splitlines()] == [b"1000000", b"2000000"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", 7.0), ("", 0.0), ("86400", LONGEST_WAIT), ("-1", 0.0), ("Fri, 27 Nov 2026 10:00:00 GMT", 0.0)],
)
async def test_a_busy_database_says_when_it_wants_to_be_asked_again(
    database: Database, sink: InfluxSink, status: int, header: str, wait: float
) -> None:
    database.status, database.headers = status, {"Retry-After": header} if header else {}
    with pytest.raises(Away, match=f"{status} because") as caught:
        await sink.write([sample(1)])
    assert caught.value.wait == wait


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
async def test_other_answers_of_4xx_are_for_good(database: Database, sink: InfluxSink, status: int) -> None:
    database.status = status
    with pytest.raises(Refused, match=f"{status} because"):
        await sink.write([sample(1)])


async def test_nobody_there_is_away() -> None:
    sink = InfluxSink("http://127.0.0.1:1/write")
    await sink.open()
    with pytest.raises(Away):
        await asyncio.wait_for(sink.write([sample(1)]), 10)
    await sink.close()


def test_a_login_in_the_address_is_not_in_the_name() -> None:
    assert InfluxSink("http://u:secret@h:8086/write?db=x&p=secret").name == "http://h:8086/write"


@pytest.mark.parametrize("url", ["127.0.0.1:8428", "ftp://h/w", "http://", "http://h:port/w"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Fatal, match="--url wants the address of a database"):
        InfluxSink(url)

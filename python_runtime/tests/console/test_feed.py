"""What a page is told: everything first, then the newest of each row, and everything again after too much."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.kube.fake_api import FakeApi

from edgelab.console.board import Board
from edgelab.console.cluster import Cluster
from edgelab.console.feed import MOST_PENDING, Client, Feed, Full
from edgelab.console.health import Health
from edgelab.console.series import Series


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def series() -> Series:
    return Series("")


@pytest.fixture
def health(board: Board, series: Series) -> Health:
    return Health(Cluster(FakeApi(), board), series)


def told(client: Client) -> tuple[str, dict[str, Any]]:
    """Name and data of the next event."""
    name, data = client.take().decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_page_gets_all_rows_first_and_then_what_changes(board: Board, health: Health) -> None:
    board.put(("pods", "n/a"), {"state": "Running"})
    with Feed(board, health, 9).subscribed() as client:
        name, data = told(client)
        assert (name, data["rows"]["pods"]) == ("board", {"n/a": {"state": "Running"}})
        assert (data["rows"]["nodes"], data["health"]["series"]) == ({}, {"used": False, "why": ""})
        board.put(("pods", "n/a"), None)
        board.put(("nodes", "e"), {"ready": True})
        assert told(client) == ("change", {"rows": [["pods", "n/a", None], ["nodes", "e", {"ready": True}]]})


async def test_only_the_newest_of_a_row_waits_for_a_slow_page(board: Board, health: Health) -> None:
    with Feed(board, health, 9).subscribed() as client:
        client.take()
        for number in range(1000):
            board.put(("pods", "n/a"), {"restarts": number})
        assert client.pending == 1
        assert told(client)[1] == {"rows": [["pods", "n/a", {"restarts": 999}]]}


async def test_a_page_that_missed_too_much_begins_anew_and_holds_nothing(
    board: Board, health: Health
) -> None:
    with Feed(board, health, 9).subscribed() as client:
        client.take()
        for number in range(MOST_PENDING + 50):
            board.put(("pods", f"n/{number}"), {})
            assert client.pending <= MOST_PENDING
        assert client.pending == 0
        name, data = told(client)
        assert (name, len(data["rows"]["pods"])) == ("board", MOST_PENDING + 50)


async def test_a_row_that_is_the_same_wakes_nobody(board: Board, health: Health) -> None:
    board.put(("pods", "n/a"), {"state": "Running"})
    with Feed(board, health, 9).subscribed() as client:
        client.take()
        board.put(("pods", "n/a"), {"state": "Running"})
        board.put(("pods", "n/none"), None)
        assert client.take() == b""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.wait(), 0)


async def test_trouble_is_told_when_it_comes_and_when_it_goes(
    board: Board, health: Health, series: Series
) -> None:
    with Feed(board, health, 9).subscribed() as client:
        health.look()
        client.take()
        for why in ("it is gone", ""):
            series.trouble = why
            health.look()
            health.look()
            assert told(client)[1]["health"]["series"]["why"] == why
            assert client.take() == b""
        assert "nodes" in health.parts()


async def test_more_pages_than_allowed_are_refused_until_one_is_closed(board: Board, health: Health) -> None:
    feed = Feed(board, health, 1)
    with feed.subscribed(), pytest.raises(Full), feed.subscribed():
        pass
    with feed.subscribed():
        assert feed.clients == 1
    assert feed.clients == 0
    board.put(("pods", "n/a"), {})

"""What is wrong is said once, again with a count, and once when it is over; Events are merged."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging

import pytest
from tests.cloudcore.cloud import Api, eventually

from edgelab.cloudcore.cloudhub.complaints import KNOWN, QUIET_SECONDS, Complaints
from edgelab.cloudcore.cloudhub.nodeevents import NodeEvents
from edgelab.daemon.clock import SystemClock
from edgelab.kube.resources import EVENTS


class HandClock(SystemClock):
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=self.seconds)


def test_a_complaint_is_said_once_then_with_a_count_then_as_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, reported = HandClock(), []
    complaints = Complaints(lambda *report: reported.append(report), clock)
    for _ in range(5):
        complaints.tell("edge1", "MalformedMessage", "it sent nonsense")
        clock.seconds += 1
    clock.seconds += QUIET_SECONDS
    complaints.tell("edge1", "MalformedMessage", "it sent nonsense again")
    assert reported == [
        ("edge1", "MalformedMessage", "it sent nonsense", 1),
        ("edge1", "MalformedMessage", "it sent nonsense again", 5),
    ]
    complaints.sweep()
    clock.seconds += QUIET_SECONDS
    complaints.sweep()
    complaints.sweep()
    assert [record.getMessage() for record in caplog.records] == [
        "node edge1: it sent nonsense",
        "node edge1: it sent nonsense again (5 times since this was last said)",
        "node edge1: no more MalformedMessage for 600 s",
    ]
    assert complaints.counts == {"MalformedMessage": 6}


def test_more_complaints_than_there_is_room_for_cost_no_more_memory(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(clock=HandClock())
    for number in range(KNOWN + 1):
        complaints.tell(f"edge{number}", "X", "x")
    caplog.clear()
    complaints.tell("edge1", "X", "x")
    assert not caplog.records
    complaints.tell("edge0", "X", "x")  # was forgotten for the last of them
    assert len(caplog.records) == 1


async def test_events_of_a_node_are_merged_and_written_once_the_api_is_back() -> None:
    api, clock = Api(), HandClock()
    nodes = {"edge1": {"metadata": {"name": "edge1", "uid": "u"}}}
    events = NodeEvents(api, nodes.get, clock)
    api.broken = "events"
    events.report("edge1", "MalformedMessage", "first")
    events.report("edge9", "MalformedMessage", "of nobody")
    task = asyncio.create_task(events.run())
    await asyncio.sleep(0)
    events.report("edge1", "MalformedMessage", "second", 3)
    api.broken = ""
    await eventually(lambda: bool(api.all(EVENTS)))
    await eventually(lambda: api.one(EVENTS, "edge1.malformedmessage")["count"] == 4)
    clock.seconds = 60
    events.report("edge1", "MalformedMessage", "third")
    await eventually(lambda: api.one(EVENTS, "edge1.malformedmessage")["count"] == 5)
    event = api.one(EVENTS, "edge1.malformedmessage")
    assert event["message"] == "third"
    assert (event["firstTimestamp"], event["lastTimestamp"]) == (
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:01:00Z",
    )
    assert event["involvedObject"]["uid"] == "u"
    assert len(api.all(EVENTS)) == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

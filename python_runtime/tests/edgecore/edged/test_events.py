"""Events: their shape, repeated ones counted, a quiet cloud, and the limit on one object."""

from __future__ import annotations

import asyncio

from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.desk import driven
from tests.edgecore.edged.samples import HandClock, pod
from tests.edgesite.driven import Driver

from edgelab.edgecore.edged import events
from edgelab.edgecore.edged.events import Recorder


async def sending(recorder: Recorder) -> asyncio.Task[None]:
    task = asyncio.create_task(recorder.run())
    await asyncio.sleep(0)
    return task


@driven
async def test_event_has_the_shape_that_kubectl_describe_reads() -> None:
    meta, clock = FakeMeta(), Driver()
    recorder = Recorder(meta, clock, "edge1", enabled=True)
    task = await sending(recorder)
    recorder.normal(pod(), "Started", "Started container main", field="spec.containers{main}")
    await clock.sleep(1)
    task.cancel()
    [event] = meta.events
    assert event["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "default",
        "name": "web",
        "uid": "u-1",
        "fieldPath": "spec.containers{main}",
    }
    assert (event["type"], event["reason"], event["count"]) == ("Normal", "Started", 1)
    assert event["source"] == {"component": "kubelet", "host": "edge1"}
    assert event["metadata"]["name"].startswith("web.")
    assert event["metadata"]["namespace"] == "default"


@driven
async def test_repeated_event_is_counted_in_the_first() -> None:
    meta, clock = FakeMeta(), Driver()
    recorder = Recorder(meta, clock, "edge1", enabled=True)
    task = await sending(recorder)
    for _ in range(3):
        recorder.warning(pod(), "BackOff", "again")
        await clock.sleep(10)
    task.cancel()
    assert [event["count"] for event in meta.events] == [1, 2, 3]
    assert len({event["metadata"]["name"] for event in meta.events}) == 1
    assert meta.created_events == 1
    assert meta.events[0]["firstTimestamp"] == meta.events[2]["firstTimestamp"]
    assert meta.events[0]["lastTimestamp"] < meta.events[2]["lastTimestamp"]


@driven
async def test_events_wait_for_the_cloud_and_only_the_newest_stay() -> None:
    meta, clock = FakeMeta(), Driver()
    meta.online = False
    recorder = Recorder(meta, clock, "edge1", enabled=True)
    task = await sending(recorder)
    for number in range(events.WAITING + 3):
        described = pod()
        described["metadata"]["uid"] = f"u-{number}"
        recorder.normal(described, "Started", f"number {number}")
    await clock.sleep(1)
    assert meta.events == []
    meta.online = True
    recorder.connected()
    await clock.sleep(1)
    task.cancel()
    assert [meta.events[0]["message"], meta.events[-1]["message"]] == [
        "number 3",
        f"number {events.WAITING + 2}",
    ]


def test_one_object_may_not_flood_the_api() -> None:
    clock = HandClock()
    recorder = Recorder(FakeMeta(), clock, "edge1", enabled=True)
    for number in range(100):
        recorder.normal(pod(), "Started", f"number {number}")
    assert len(recorder._waiting) == events.BURST
    clock.moment += 600
    for number in range(100, 110):
        recorder.normal(pod(), "Started", f"number {number}")
    assert len(recorder._waiting) == events.BURST + 2


def test_without_report_event_nothing_is_kept() -> None:
    recorder = Recorder(FakeMeta(), HandClock(), "edge1", enabled=False)
    recorder.warning(pod(), "Failed", "no")
    assert not recorder._waiting

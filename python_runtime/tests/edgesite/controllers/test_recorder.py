from __future__ import annotations

from tests.edgesite.site import TestClock
from tests.kube.fake_api import FakeApi

from edgelab.edgesite.controllers.support.recorder import BURST, Recorder
from edgelab.kube.interface import Obj
from edgelab.kube.resources import EVENTS


def thing(uid: str = "u1") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": "t", "namespace": "default", "uid": uid},
    }


async def test_a_repeated_event_is_counted() -> None:
    clock = TestClock()
    api = FakeApi(clock)
    events = Recorder(api, clock, "c")
    for _ in range(3):
        await events.normal(thing(), "Done", "it is done")
    assert [(event["message"], event["count"]) for event in api.all(EVENTS)] == [("it is done", 3)]


async def test_the_tenth_of_a_kind_and_those_after_it_are_one() -> None:
    clock = TestClock()
    api = FakeApi(clock)
    events = Recorder(api, clock, "c")
    for number in range(15):
        await events.normal(thing(), "Made", f"made {number}")
    messages = [event["message"] for event in api.all(EVENTS)]
    assert len(messages) == 10
    assert "(combined from similar events): made 14" in messages
    clock.advance(601)
    await events.normal(thing(), "Made", "made later")
    assert "made later" in [event["message"] for event in api.all(EVENTS)]


async def test_an_object_with_much_to_tell_is_cut_short() -> None:
    clock = TestClock()
    api = FakeApi(clock)
    events = Recorder(api, clock, "c")
    for number in range(BURST + 5):
        await events.normal(thing(), f"Reason{number}", "message")
    assert len(api.all(EVENTS)) == BURST
    await events.normal(thing("u2"), "Other", "message")
    clock.advance(300)
    await events.normal(thing(), "Late", "message")
    assert {"Other", "Late"} <= {event["reason"] for event in api.all(EVENTS)}

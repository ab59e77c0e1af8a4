from __future__ import annotations

import json

from tests.edgecore.edged.samples import HandClock

from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.outgoing import MOST, PATIENCE, Outgoing

TWIN = "$hw/events/device/default/thermo/twin/update"


def outgoing() -> tuple[Outgoing, HandClock]:
    clock = HandClock()
    return Outgoing(clock, Drops(clock)), clock


def drained(queue: Outgoing) -> list[tuple[str, bytes]]:
    found = []
    while (message := queue.pop()) is not None:
        found.append((message.topic, message.payload))
    assert len(queue) == 0
    return found


def document(value: int, name: str = "t") -> Message:
    twin = {name: {"last": None, "current": str(value)}}
    return Message(f"{TWIN}/document", json.dumps({"event_id": "", "timestamp": 1, "twin": twin}).encode())


def test_results_leave_before_documents_and_documents_before_deltas() -> None:
    queue, _ = outgoing()
    queue.add(document(1))
    queue.add(Message(f"{TWIN}/delta", b"{}"))
    queue.add(Message(f"{TWIN}/result", b"{}"))
    assert [topic.rpartition("/")[2] for topic, _ in drained(queue)] == ["result", "document", "delta"]


def test_commands_are_worth_something_for_half_a_minute_and_values_for_ever() -> None:
    queue, clock = outgoing()
    queue.add(Message("valve/open", b"now"))
    queue.add(document(1))
    clock.moment += PATIENCE - 1
    queue.add(Message("valve/close", b"now"))
    clock.moment += 2
    assert [topic for topic, _ in drained(queue)] == ["valve/close", f"{TWIN}/document"]


def test_of_too_many_messages_the_newest_stay_and_so_does_every_propertys_newest_value() -> None:
    queue, _ = outgoing()
    for number in range(MOST + 5):
        queue.add(Message("x", b"%d" % number))
        queue.add(document(number, f"p{number % 3}"))
    found = drained(queue)
    others = [payload for topic, payload in found if topic == "x"]
    assert others == [b"%d" % number for number in range(5, MOST + 5)]
    values: dict[str, str] = {}
    for topic, payload in found:
        if topic != "x":
            values |= {name: change["current"] for name, change in json.loads(payload)["twin"].items()}
    newest = {f"p{number % 3}": str(number) for number in range(MOST + 2, MOST + 5)}
    assert values == newest


def test_what_did_not_get_through_comes_first_again() -> None:
    queue, _ = outgoing()
    queue.add(Message("later", b""))
    queue.add(document(2))
    queue.put_back([Message("earlier", b""), document(1)])
    found = drained(queue)
    assert [topic for topic, _ in found[:2]] == ["earlier", "later"]
    assert [json.loads(payload)["twin"]["t"]["current"] for _, payload in found[2:]] == ["1", "2"]

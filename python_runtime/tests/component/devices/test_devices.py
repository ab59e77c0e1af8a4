"""What programs send and what the API shows of it: old clients, spools, bad input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cloudcore.cloud import eventually
from tests.component.devices.place import DEVICE, SECONDS, Place

from edgelab.kube.interface import Obj


async def test_the_counter_demo_runs_with_nothing_but_an_mqtt_client_of_the_old_days(place: Place) -> None:
    """The mapper knows its device by the bare name, and is driven by `expected`, as before KubeEdge 1.15."""
    await place.device("counter", status="OFF")
    document = await place.told(f"{DEVICE.removesuffix('/default')}/counter/twin/update/document")
    assert document["twin"]["status"]["current"]["expected"]["value"] == "OFF"
    await eventually(lambda: place.values("counter", "observedDesired") == {"status": "OFF"}, SECONDS)
    for wanted in ("ON", "OFF"):
        await place.wish("counter", status=wanted)
        await place.client.expect(
            "$hw/events/device/counter/twin/update/delta",
            lambda body, value=wanted: body["delta"] == {"status": value},
            seconds=SECONDS,
        )
        actual = {"actual": {"value": wanted}, "metadata": {"type": "Updated"}}
        place.client.publish(
            "$hw/events/device/counter/twin/update", {"event_id": wanted, "twin": {"status": actual}}, qos=1
        )
        result = await place.told("$hw/events/device/counter/twin/update/result", wanted)
        assert "code" not in result
        await eventually(
            lambda value=wanted: (
                place.values("counter") == place.values("counter", "observedDesired") == {"status": value}
            ),
            SECONDS,
        )


async def test_what_a_spool_has_kept_reaches_the_api_one_by_one_in_order(place: Place) -> None:
    await place.device("meter", annotations={"edgelab.io/spool": "100"}, litres="")
    place.client.update("default/meter", event="0", litres="0")
    await eventually(lambda: place.values("meter") == {"litres": "0"}, SECONDS)
    written: list[str] = []
    write = place.cloud.api.patch

    async def noted(*arguments: Any, **more: Any) -> Obj:
        found = await write(*arguments, **more)
        written.extend(t["reported"]["value"] for t in (found.get("status") or {}).get("twins") or ())
        return found

    place.cloud.api.patch = noted  # type: ignore[method-assign] # every state of the status counts
    sent = [str(number) for number in range(1, 9)]
    hub = place.cloud.hub
    hub.disconnect("edge1", "the test wants it away")
    await place.process.wait_for_line("connection to CloudCore lost")
    for value in sent:
        place.client.update("default/meter", event=value, litres=value)
    await place.told(f"{DEVICE}/meter/twin/update/result", sent[-1])
    await eventually(lambda: place.values("meter") == {"litres": sent[-1]}, SECONDS)
    assert list(dict.fromkeys(written)) == sent, "each is written by itself, for who watches"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "truncated"),
        (b"\xff", ""),
        (json.dumps({"twin": {"t": {"actual": {"value": "x" * (1 << 20)}}}}).encode(), "payload has"),
        (json.dumps({"twin": {"t": {"actual": {"value": 1}}}}).encode(), "twin"),
        (b'{"twin":' * 50_000, ""),
    ],
    ids=["no JSON", "no text", "a megabyte", "a number", "deep"],
)
async def test_a_bad_payload_is_answered_and_other_devices_are_undisturbed(
    place: Place, payload: bytes, reason: str
) -> None:
    await place.device("bad", t="")
    await place.device("good", t="")
    for action, result in (
        ("twin/update", "twin/update/result"),
        ("twin/get", "twin/get/result"),
        ("state/update", "state/update/result"),
    ):
        place.client.publish(f"{DEVICE}/bad/{action}", payload, qos=1)
        if action == "twin/get" and reason == "twin":
            continue  # it has an id, or none: that is all a question needs
        answer = await place.told(f"{DEVICE}/bad/{result}")
        assert answer["code"] == 400
        assert answer["reason"]
        assert action != "twin/update" or reason in answer["reason"].lower()
    place.client.update("default/good", event="fine", t="1")
    await place.told(f"{DEVICE}/good/twin/update/result", "fine")
    await eventually(lambda: place.values("good") == {"t": "1"}, SECONDS)
    assert place.values("bad") == {}
    assert "Traceback" not in place.process.output()


async def test_hostile_topics_do_no_harm(place: Place) -> None:
    await place.device("good", t="")
    for topic in (
        f"{DEVICE}/" + "x" * 60_000 + "/twin/update",
        f"{DEVICE}/%s%n%(x)s/twin/update",
        f"{DEVICE}/'; DROP TABLE device; --/twin/update",
        f"{DEVICE}/../../twin/update",
        f"{DEVICE}/тепло/twin/update",
        "$hw/events/device//twin/update",
        "$hw/events/device/default/good/twin/update/result",
        "$hw/events/node//membership/get",
    ):
        place.client.publish(topic, '{"twin":{"t":{"actual":{"value":"9"}}}}', qos=1)
    place.client.update("default/good", event="fine", t="1")
    await place.told(f"{DEVICE}/good/twin/update/result", "fine")
    await eventually(lambda: place.values("good") == {"t": "1"}, SECONDS)
    assert "Traceback" not in place.process.output()

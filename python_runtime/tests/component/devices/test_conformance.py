"""What every implementation of KubeEdge's devices has to do, from the manifest to the status."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import yaml
from tests.cloudcore.cloud import eventually, running
from tests.component.devices.place import DEVICE, SECONDS, Place

from edgelab.kube.resources import DEVICE_MODELS, DEVICE_STATUSES, DEVICES

THERMO = Path(__file__).parent / "thermo.yaml"
NODE = "$hw/events/node/edge1"
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def stored(edge: Path) -> list[str]:
    """What MetaManager has of the namespace."""
    with contextlib.closing(sqlite3.connect(f"file:{edge}/edgecore.db?mode=ro", uri=True)) as connection:
        keys = [str(row[0]) for row in connection.execute("SELECT key FROM meta ORDER BY key")]
    return [key.removeprefix("default/") for key in keys if key.startswith("default/device")]


async def test_a_manifest_becomes_membership_model_and_device_at_the_edge(
    place: Place, tmp_path: Path
) -> None:
    model, device = yaml.safe_load_all(THERMO.read_text())
    await place.cloud.api.create(DEVICE_MODELS, model, "default")
    await place.cloud.api.create(DEVICES, device, "default")
    await place.process.wait_for_line("device default/thermo-1 joined this node")
    await eventually(lambda: stored(tmp_path / "edge") == ["device/thermo-1", "devicemodel/thermo-model"])
    place.client.publish(f"{NODE}/membership/get", {"event_id": "who"}, qos=1)
    answer = await place.told(f"{NODE}/membership/get/result", "who")
    assert [device["id"] for device in answer["devices"]] == ["default/thermo-1"]


async def test_requests_of_mqtt_clients_have_the_answers_of_the_protocol(place: Place) -> None:
    await place.device("thermo", t="")
    update = {"event_id": "1", "twin": {"t": {"actual": {"value": "21"}, "metadata": {"type": "int"}}}}
    place.client.publish(f"{DEVICE}/thermo/twin/update", update, qos=1)
    result = await place.told(f"{DEVICE}/thermo/twin/update/result", "1")
    assert "code" not in result
    assert result["twin"]["t"]["actual"]["value"] == "21"
    document = await place.told(f"{DEVICE}/thermo/twin/update/document")
    assert document["twin"]["t"]["current"]["actual"]["value"] == "21"

    bad = {"event_id": "2", "twin": {"t": {"actual": {"value": "warm"}, "metadata": {"type": "int"}}}}
    place.client.publish(f"{DEVICE}/thermo/twin/update", bad, qos=1)
    assert (await place.told(f"{DEVICE}/thermo/twin/update/result", "2"))["code"] == 400
    place.client.publish(f"{DEVICE}/nobody/twin/update", {**update, "event_id": "3"}, qos=1)
    assert (await place.told(f"{DEVICE}/nobody/twin/update/result", "3"))["code"] == 404
    place.client.publish(f"{DEVICE}/thermo/twin/get", {"event_id": "4"}, qos=1)
    got = await place.told(f"{DEVICE}/thermo/twin/get/result", "4")
    assert got["twin"]["t"]["actual"]["value"] == "21"


async def test_a_state_of_the_device_reaches_the_api_and_a_word_that_is_none_does_not(place: Place) -> None:
    await place.device("thermo", t="")
    place.client.publish(f"{DEVICE}/thermo/state/update", {"event_id": "1", "state": "online"}, qos=1)
    await eventually(lambda: place.status("thermo").get("state") == "online", SECONDS)
    assert UTC.fullmatch(place.status("thermo")["lastOnlineTime"])
    before = place.cloud.api.objects[DEVICE_STATUSES][("default", "thermo")]
    place.client.publish(f"{DEVICE}/thermo/state/update", {"event_id": "2", "state": "bogus"}, qos=1)
    assert (await place.told(f"{DEVICE}/thermo/state/update/result", "2"))["code"] == 400
    place.client.update("default/thermo", event="later", t="1")
    await eventually(lambda: place.values("thermo") == {"t": "1"}, SECONDS)
    assert place.status("thermo")["state"] == before["status"]["state"] == "online"


async def test_twins_of_an_offline_time_converge_and_edits_of_it_arrive(place: Place) -> None:
    """The cloud is stopped, not only cut off; what its people and the node's devices did meanwhile counts."""
    await place.device("thermo", t="", fan="OFF")
    place.client.update("default/thermo", event="before", t="1")
    await eventually(lambda: place.values("thermo").get("t") == "1", SECONDS)
    cloud, port = place.cloud, place.cloud.port
    await cloud.stop()
    await place.process.wait_for_line("connection to CloudCore lost")
    for value in ("2", "3"):
        place.client.update("default/thermo", event=value, t=value)
        await place.told(f"{DEVICE}/thermo/twin/update/result", value)
    await place.wish("thermo", t="", fan="ON")
    place.client.received.clear()
    async with running(cloud.directory, cloud.api, port=port):
        await place.client.expect(
            f"{DEVICE}/thermo/twin/update/delta", lambda body: body["delta"] == {"fan": "ON"}, seconds=SECONDS
        )
        await eventually(lambda: place.values("thermo").get("t") == "3", SECONDS)
        await eventually(lambda: place.values("thermo", "observedDesired").get("fan") == "ON", SECONDS)
    output = place.process.output()
    assert "Traceback" not in output
    assert not re.search(r"^E ", output, re.MULTILINE), output

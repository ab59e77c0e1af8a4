"""`keadm device` against a real EdgeSite: its schema, its conflicts and its selectors are real here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.component.cloudcore.site import edgesite
from tests.component.cloudcore.test_chain import BIN, Place

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES

API = "devices.kubeedge.io/v1beta1"
MODEL = {
    "apiVersion": API,
    "kind": "DeviceModel",
    "metadata": {"name": "boiler"},
    "spec": {
        "protocol": "virtual",
        "properties": [
            {"name": "temperature", "type": "FLOAT", "accessMode": "ReadOnly", "unit": "Celsius"},
            {"name": "limit", "type": "INT", "accessMode": "ReadWrite", "minimum": "0", "maximum": "90"},
        ],
    },
}
SPEC = {
    "deviceModelRef": {"name": "boiler"},
    "nodeName": "edge1",
    "protocol": {"protocolName": "virtual", "configData": {"unit": 7}},
    "properties": [
        {"name": "temperature", "reportToCloud": True, "collectCycle": 1000},
        {"name": "limit", "desired": {"value": "40"}, "visitors": {"configData": {"register": 3}}},
    ],
}


def device(spec: dict[str, Any], **metadata: Any) -> str:
    named = {"name": "cellar", **metadata}
    return json.dumps({"apiVersion": API, "kind": "Device", "metadata": named, "spec": spec})


def keadm(place: Place, *words: str, stdin: str = "", fails: bool = False) -> dict[str, Any]:
    command = [BIN / "keadm", *words, "--kube-config", place.kubeconfig, "--output", "json"]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def report(place: Place, value: str) -> None:
    """What CloudCore writes when a device has reported."""
    metadata = {"timestamp": str(int(time.time() * 1000)), "type": "string"}
    twins = [{"propertyName": "temperature", "reported": {"value": value, "metadata": metadata}}]
    body = {"metadata": {"name": "cellar"}, "status": {"state": "online", "twins": twins}}
    async with HttpClient(kubeconfig.load(place.kubeconfig)) as api:
        await api.create(DEVICE_STATUSES, body, "default")


async def label_often(place: Place, times: int) -> None:
    """Somebody else who writes the same Device."""
    async with HttpClient(kubeconfig.load(place.kubeconfig)) as api:
        for number in range(times):
            await api.patch(DEVICES, "cellar", {"metadata": {"labels": {"n": str(number)}}}, "default")


async def test_a_device_from_its_description_to_a_changed_desire(tmp_path: Path) -> None:
    with edgesite(tmp_path) as place:
        apply = ("device", "apply", "-f", "-")
        keadm(place, "apply", "-f", "-", stdin=json.dumps(MODEL))
        assert keadm(place, *apply, stdin=device(SPEC, labels={"floor": "0"}))["warnings"] == []
        assert keadm(place, *apply, stdin=device(SPEC))["changed"] is False

        await report(place, "21.50")
        [found] = keadm(place, "device", "list", "--node", "edge1", "-l", "floor=0")["devices"]
        temperature = found["properties"]["temperature"]["reported"]
        assert temperature["value"] == 21.5
        assert 0 <= temperature["age"] < 60
        assert found["state"] == "online"

        change = device({"properties": [{"name": "limit", "desired": {"value": "55"}}]})
        others = asyncio.create_task(label_often(place, 40), name="others")
        assert (await asyncio.to_thread(keadm, place, *apply, stdin=change))["changed"] is True
        await others
        told = keadm(place, "device", "get", "cellar")["device"]
        assert told["properties"]["limit"]["desired"] == {"value": 55}
        assert told["labels"] == {"floor": "0", "n": "39"}
        again = keadm(place, *apply, stdin=change)["objects"][0]
        assert again["action"] == "unchanged"
        limit = {"name": "limit", "desired": {"value": "55"}, "visitors": {"configData": {"register": 3}}}
        assert again["after"]["spec"] == {**SPEC, "properties": [SPEC["properties"][0], limit]}

        odd = device({"properties": [{"name": "limit", "pushMethod": {"mqtt": {"adress": "x"}}}]})
        for words in (apply, (*apply, "--check")):
            told = keadm(place, *words, stdin=odd, fails=True)
            assert 'unknown field "spec.properties[1].pushMethod.mqtt.adress"' in told["error"]
        hot = device({"properties": [{"name": "limit", "desired": {"value": "95"}}]})
        assert "more than the model's maximum 90" in keadm(place, *apply, stdin=hot, fails=True)["error"]

"""Devices and models from one layout to the other and back."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelab.objects.deviceversions import devices, models, statuses
from edgelab.objects.deviceversions.convert import convert
from edgelab.objects.deviceversions.fields import LayoutError
from edgelab.objects.deviceversions.remainder import REST

DOCUMENTS = Path(__file__).parent / "vectors"
BETA, OLD = "devices.kubeedge.io/v1beta1", "devices.kubeedge.io/v1alpha2"
DEVICE: dict[str, Any] = {
    "apiVersion": BETA,
    "kind": "Device",
    "metadata": {"name": "thermo-1", "namespace": "default", "labels": {"description": "boiler"}},
    "spec": {
        "deviceModelRef": {"name": "thermo-model"},
        "nodeName": "edge-1",
        "protocol": {
            "protocolName": "modbus",
            "configData": {"slaveID": 1, "com": {"serialPort": "/dev/ttyS0"}},
        },
        "stateReport": {"reportToCloud": True, "reportCycle": 10000},
        "properties": [
            {
                "name": "temperature",
                "visitors": {
                    "protocolName": "modbus",
                    "configData": {"register": "HoldingRegister", "offset": 2},
                },
                "collectCycle": 1000,
                "reportCycle": 10000,
                "reportToCloud": True,
                "pushMethod": {"mqtt": {"address": "tcp://127.0.0.1:1883", "topic": "t", "qos": 0}},
            },
            {"name": "switch", "desired": {"value": "1", "metadata": {"type": "int"}}},
            {"name": "bare"},
        ],
        "methods": [{"name": "SwitchControl", "propertyNames": ["switch"]}],
    },
}
MODEL: dict[str, Any] = {
    "apiVersion": BETA,
    "kind": "DeviceModel",
    "metadata": {"name": "thermo-model", "namespace": "default"},
    "spec": {
        "protocol": "modbus",
        "protocolConfigData": {"slaveID": 1},
        "properties": [
            {
                "name": "temperature",
                "description": "degrees",
                "type": "FLOAT",
                "accessMode": "ReadOnly",
                "minimum": "-40",
                "maximum": "85.5",
                "unit": "C",
                "visitors": {"protocolName": "modbus", "configData": {"scale": 0.1}},
            },
            {"name": "frames", "type": "STREAM", "accessMode": "ReadOnly"},
        ],
    },
}


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCUMENTS / name).read_text())
    return found


def test_an_old_modbus_device_becomes_what_its_manual_would_have_one_write() -> None:
    new = devices.to_beta(document("device-modbus-v1alpha2.yaml"))
    assert new["apiVersion"] == BETA
    spec = new["spec"]
    assert spec["nodeName"] == "edge1"
    assert spec["protocol"]["protocolName"] == "modbus"
    assert spec["protocol"]["configData"]["slaveID"] == 1
    assert spec["protocol"]["configData"]["com"]["baudRate"] == 115200
    temperature, enable = spec["properties"]
    assert temperature["name"] == "temperature"
    assert temperature["desired"]["value"] == "15"
    assert temperature["visitors"] == {
        "protocolName": "modbus",
        "configData": {
            "register": "CoilRegister",
            "offset": 2,
            "limit": 1,
            "scale": 1,
            "isSwap": True,
            "isRegisterSwap": True,
        },
    }
    assert enable["visitors"]["configData"]["register"] == "DiscreteInputRegister"
    assert temperature["reportToCloud"] is enable["reportToCloud"] is True
    assert new["status"]["twins"] == [
        {
            "propertyName": "temperature",
            "reported": {"metadata": {"timestamp": "1550049403598", "type": "int"}, "value": "10"},
        }
    ]


def test_cycles_are_milliseconds_now_and_were_nanoseconds() -> None:
    new = devices.to_beta(document("device-custom-v1alpha2.yaml"))
    (temperature,) = new["spec"]["properties"]
    assert (temperature["collectCycle"], temperature["reportCycle"]) == (500, 1000)
    assert temperature["visitors"]["protocolName"] == "MY-TEST-PROTOCOL"
    old = devices.to_alpha(new)["spec"]["propertyVisitors"][0]
    assert (old["collectCycle"], old["reportCycle"]) == (500_000_000, 1_000_000_000)


def test_an_old_model_has_flat_properties_now() -> None:
    new = models.to_beta(document("devicemodel-v1alpha2.yaml"))
    assert new["spec"]["properties"] == [
        {
            "name": "temperature",
            "description": "temperature in degrees Celsius",
            "type": "INT",
            "accessMode": "ReadWrite",
            "maximum": "100",
            "unit": "degree celsius",
        },
        {
            "name": "temperature-enable",
            "description": "switches data collection",
            "type": "STRING",
            "accessMode": "ReadWrite",
        },
    ]


@pytest.mark.parametrize("name", ["device-modbus-v1alpha2.yaml", "device-custom-v1alpha2.yaml"])
def test_an_old_device_comes_back_as_it_was(name: str) -> None:
    old = document(name)
    untouched = copy.deepcopy(old)
    assert devices.to_alpha(devices.to_beta(old)) == old == untouched


def test_an_old_model_comes_back_as_it_was() -> None:
    old = document("devicemodel-v1alpha2.yaml")
    assert models.to_alpha(models.to_beta(old)) == old


def test_a_new_device_and_a_new_model_come_back_as_they_were() -> None:
    assert devices.to_beta(devices.to_alpha(DEVICE)) == DEVICE
    assert models.to_beta(models.to_alpha(MODEL)) == MODEL


def test_what_is_changed_in_the_old_layout_is_changed_in_the_new_one() -> None:
    old = devices.to_alpha(DEVICE)
    old["spec"]["nodeSelector"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] = ["edge-2"]
    old["status"]["twins"][0]["desired"]["value"] = "0"
    del old["spec"]["propertyVisitors"][0]
    new = devices.to_beta(old)
    assert new["spec"]["nodeName"] == "edge-2"
    assert [prop["name"] for prop in new["spec"]["properties"]] == ["switch", "bare"]
    assert new["spec"]["properties"][0]["desired"]["value"] == "0"


def test_a_selector_that_says_more_than_a_node_is_kept_until_the_node_changes() -> None:
    old = document("device-custom-v1alpha2.yaml")
    expression = {"key": "zone", "operator": "In", "values": ["edge1", "edge2"]}
    old["spec"]["nodeSelector"] = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    new = devices.to_beta(old)
    assert devices.to_alpha(new) == old
    new["spec"]["nodeName"] = "edge3"
    terms = devices.to_alpha(new)["spec"]["nodeSelector"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["edge3"]


def test_nothing_is_noted_for_a_device_that_both_layouts_can_say() -> None:
    old = document("device-custom-v1alpha2.yaml")
    assert REST not in (devices.to_beta(old)["metadata"].get("annotations") or {})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"propertyVisitors": "none"}, "spec.propertyVisitors: expected a list, found a string"),
        ({"propertyVisitors": [{"propertyName": 1}]}, "spec.propertyVisitors[0].propertyName"),
        ({"protocol": {"modbus": {}, "opcua": {}}}, "spec.protocol: expected one protocol"),
        ({"propertyVisitors": [{"reportCycle": "soon"}]}, "spec.propertyVisitors[0].reportCycle"),
        ({"nodeSelector": []}, "spec.nodeSelector: expected an object, found a list"),
    ],
)
def test_a_field_that_is_wrong_is_named(change: dict[str, Any], field: str) -> None:
    old = document("device-custom-v1alpha2.yaml")
    old["spec"] |= change
    with pytest.raises(LayoutError) as refusal:
        devices.to_beta(old)
    assert field in str(refusal.value)


def test_a_property_of_two_types_is_refused() -> None:
    old = document("devicemodel-v1alpha2.yaml")
    old["spec"]["properties"][0]["type"]["string"] = {}
    with pytest.raises(LayoutError, match=r"spec\.properties\[0\]\.type: expected exactly one of"):
        models.to_beta(old)


def test_a_spoilt_note_costs_only_what_it_held() -> None:
    old = devices.to_alpha(DEVICE)
    old["metadata"]["annotations"][REST] = "{"
    assert "methods" not in devices.to_beta(old)["spec"]


def test_a_property_with_two_visitors_is_refused() -> None:
    old = document("device-custom-v1alpha2.yaml")
    old["spec"]["propertyVisitors"] *= 2
    with pytest.raises(LayoutError, match=r"spec\.propertyVisitors\[1\]\.propertyName: 'temperature' has a"):
        devices.to_beta(old)


def test_a_changed_visitor_keeps_what_only_the_new_layout_says_of_its_property() -> None:
    old = devices.to_alpha(DEVICE)
    old["spec"]["propertyVisitors"][0]["modbus"]["offset"] = 3
    temperature = devices.to_beta(old)["spec"]["properties"][0]
    assert temperature["visitors"]["configData"]["offset"] == 3
    assert temperature["reportToCloud"] is True
    assert temperature["pushMethod"] == DEVICE["spec"]["properties"][0]["pushMethod"]


def test_a_default_value_goes_with_its_type() -> None:
    new = models.to_beta(document("devicemodel-v1alpha2.yaml"))
    new["spec"]["properties"][1]["unit"] = "switch"
    kept = models.to_alpha(new)["spec"]["properties"][1]["type"]
    assert kept == {"string": {"accessMode": "ReadWrite", "unit": "switch", "defaultValue": "OFF"}}
    new["spec"]["properties"][1]["type"] = "BOOLEAN"
    assert models.to_alpha(new)["spec"]["properties"][1]["type"] == {
        "boolean": {"accessMode": "ReadWrite", "unit": "switch"}
    }


def test_a_status_has_its_twins_in_one_place() -> None:
    twins = [{"propertyName": "t", "reported": {"value": "1"}}]
    old = {"apiVersion": OLD, "kind": "DeviceStatus", "metadata": {"name": "d"}, "twins": twins}
    new = convert(old, "v1beta1")
    assert (new["apiVersion"], new["status"], "twins" in new) == (BETA, {"twins": twins}, False)
    assert statuses.to_beta(convert(new, "v1alpha2")) == new


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        ({"apiVersion": OLD, "kind": "Rule"}, "there is no conversion of Rule"),
        ({"apiVersion": "devices.kubeedge.io/v1alpha1", "kind": "Device"}, "of Device from devices"),
        (
            {"apiVersion": OLD, "kind": "Device", "metadata": {"name": "d"}, "spec": 1},
            "Device d: device.spec",
        ),
    ],
)
def test_what_cannot_be_converted_is_named(obj: dict[str, Any], why: str) -> None:
    with pytest.raises(LayoutError, match=why):
        convert(obj, "v1beta1")


class Dice:
    """Made-up objects that use all of a layout's fields, some of them at a time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, **fields: Any) -> dict[str, Any]:
        return {key: value for key, value in fields.items() if self.random.random() < 0.6}

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def cycles(self) -> dict[str, Any]:
        return self.some(reportCycle=self.random.randrange(3 * 10**9), collectCycle=self.one(0, 500, 10**9))

    def protocol(self, **inner: Any) -> dict[str, Any]:
        """One protocol by its key; a custom one may have a name that is also a key."""
        name = self.one("modbus", "opcua", "bluetooth", "customizedProtocol", "")
        if name == "customizedProtocol":
            data = self.one({}, {"deep": {"list": [1, {"a": None}]}, "slaveID": 2}, inner)
            return {name: self.some(protocolName=self.one("modbus", "MY"), configData=data)}
        return {name: inner} if name else {}

    def value(self) -> dict[str, Any]:
        return {"value": self.one("", "15", "ON"), **self.some(metadata={"type": "int", "timestamp": "1"})}

    def old_device(self) -> dict[str, Any]:
        names = self.random.sample(["a", "b", "c", "d/e", ""], 3)
        common = self.some(com={"serialPort": "1"}, tcp={"port": 1}, customizedValues={"d": 1}, commType="")
        selector = {
            "key": self.one("", "zone"),
            "operator": "In",
            "values": self.one(["n1"], ["n1", "n2"], []),
        }
        visitors = [
            {
                "propertyName": name,
                **self.cycles(),
                **self.protocol(register="CoilRegister", scale=0.1),
                **self.some(customizedValues={"x": [1]}, unknown=1),
            }
            for name in names[: self.random.randrange(4)]
        ]
        twins = [
            {"propertyName": name, **self.some(desired=self.value(), reported=self.value(), odd={"k": 1})}
            for name in self.random.sample(names, self.random.randrange(4))
        ]
        spec = self.some(
            deviceModelRef={"name": "m"},
            nodeSelector={"nodeSelectorTerms": [{"matchExpressions": [selector]}]},
            protocol={**self.protocol(slaveID=1), **self.some(common=common)},
            propertyVisitors=visitors,
            data={"dataTopic": "t", "dataProperties": [{"propertyName": "a"}]},
            invented={"x": 1},
        )
        return {**self.named("Device", OLD), "spec": spec, "status": self.some(twins=twins, state="ok")}

    def new_device(self) -> dict[str, Any]:
        names = self.random.sample(["a", "b", "c", "d/e", ""], 4)
        properties = [
            {
                "name": name,
                **self.cycles(),
                **self.some(
                    desired=self.value(),
                    visitors=self.some(
                        protocolName=self.one("modbus", "MY"), configData={"customizedValues": 1, "r": 2}
                    ),
                    reportToCloud=self.one(True, False),
                    pushMethod={"mqtt": {"topic": "t"}, "dbMethod": {"TDEngine": {}}},
                ),
            }
            for name in names
        ]
        twins = [
            {"propertyName": name, **self.some(reported=self.value(), observedDesired=self.value())}
            for name in self.random.sample(names, 2)
        ]
        spec = self.some(
            deviceModelRef={"name": "m"},
            nodeName="n1",
            properties=properties,
            protocol=self.some(protocolName=self.one("modbus", "MY"), configData={"com": {"a": 1}, "k": []}),
            methods=[{"name": "m", "propertyNames": ["a"]}],
            stateReport={"reportToCloud": False, "reportCycle": 1},
        )
        return {**self.named("Device", BETA), "spec": spec, "status": self.some(twins=twins, state="ok")}

    def old_model(self) -> dict[str, Any]:
        numbers = self.some(
            minimum=self.one(0, -1.5, 2.0), maximum=100, unit="C", defaultValue=self.one(0, "")
        )
        properties = [
            {
                "name": name,
                **self.some(
                    description="d", type={self.one(*models.TYPES): {"accessMode": "ReadOnly", **numbers}}
                ),
            }
            for name in ("a", "b")
        ]
        return {
            **self.named("DeviceModel", OLD),
            "spec": self.some(protocol="p", properties=properties, odd=1),
        }

    def new_model(self) -> dict[str, Any]:
        properties = [
            {
                "name": name,
                **self.some(
                    type=self.one("INT", "FLOAT", "STREAM"),
                    minimum=self.one("0", "1e3", "low", "-1.50"),
                    accessMode="ReadWrite",
                    visitors={"protocolName": "modbus", "configData": {"scale": 0.1}},
                ),
            }
            for name in ("a", "b")
        ]
        spec = self.some(protocol="p", protocolConfigData={"slaveID": 1}, properties=properties)
        return {**self.named("DeviceModel", BETA), "spec": spec}

    def named(self, kind: str, version: str) -> dict[str, Any]:
        annotations = self.one({}, {"annotations": {"mine": "1"}})
        return {"apiVersion": version, "kind": kind, "metadata": {"name": "d", **annotations}}


def said(value: Any) -> Any:
    """A document without what says nothing: empty objects and lists."""
    if isinstance(value, list):
        return [said(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: said(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item not in ({}, [])}


@pytest.mark.parametrize("make", [Dice.old_device, Dice.new_device, Dice.old_model, Dice.new_model])
def test_no_object_loses_anything_on_its_way_there_and_back(make: Callable[[Dice], dict[str, Any]]) -> None:
    for seed in range(300):
        obj = make(Dice(seed))
        here = obj["apiVersion"].rpartition("/")[2]
        there = {"v1alpha2": "v1beta1", "v1beta1": "v1alpha2"}[here]
        untouched = copy.deepcopy(obj)
        other = json.loads(json.dumps(convert(obj, there)))
        assert said(convert(other, here)) == said(obj), seed
        assert obj == untouched

"""Devices and models from one layout to the other and back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelab.objects.deviceversions import devices, models
from edgelab.objects.deviceversions.fields import REST, LayoutError

DOCUMENTS = Path(__file__).parent / "vectors"
BETA = "devices.kubeedge.io/v1beta1"
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

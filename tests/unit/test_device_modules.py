"""device_model and device: the objects they make of their options, what they refuse, and what they tell."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import (
    device,
    device_info,
    device_model,
    mqtt_publish,
)

from tests.unit.module_harness import REAL_KEADM, FakeKeadm, run

TEMPERATURE = {"name": "temperature", "type": "FLOAT", "unit": "Celsius", "minimum": -40, "maximum": 150.5}
DONE: dict[str, Any] = {
    "changed": True,
    "objects": [
        {"action": "changed", "before": {"spec": {"a": 1}}, "after": {"labels": {}, "spec": {"a": 2}}}
    ],
}


def sent(keadm: FakeKeadm) -> tuple[list[str], dict[str, Any]]:
    [(words, stdin)] = keadm.calls
    return words, json.loads(stdin)


def test_a_model_is_applied_as_an_object_of_the_api(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=DONE)
    limit = {"name": "limit", "type": "INT", "accessMode": "ReadWrite", "description": "to heat to"}
    result = run(
        device_model,
        name="boiler",
        protocol="modbus",
        protocolConfigData={"slaveID": 1},
        properties=[TEMPERATURE, {**limit, "visitors": {"protocolName": "modbus"}}],
        **cluster,
        _ansible_diff=True,
    )
    words, sent_model = sent(keadm)
    assert words == [
        *("apply", "--kube-config", cluster["kubeconfig"], "--filename", "-"),
        *("--output", "json"),
    ]
    assert sent_model == {
        "apiVersion": "devices.kubeedge.io/v1beta1",
        "kind": "DeviceModel",
        "metadata": {"name": "boiler", "namespace": "default"},
        "spec": {
            "protocol": "modbus",
            "protocolConfigData": {"slaveID": 1},
            "properties": [
                {**TEMPERATURE, "minimum": "-40", "maximum": "150.5", "accessMode": "ReadOnly"},
                {**limit, "visitors": {"protocolName": "modbus"}},
            ],
        },
    }
    assert (result["changed"], result["action"]) == (True, "changed")
    assert result["diff"]["after"].startswith("DeviceModel/default/boiler {")


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ([{"name": "a b", "type": "INT"}], "properties[0].name: 'a b' has to be"),
        ([TEMPERATURE, TEMPERATURE], "properties[1].name: 'temperature' is there twice"),
        ([{"name": "a", "type": "STRING", "minimum": "1"}], "properties[0].minimum: STRING has no minimum"),
        ([{"name": "a", "type": "INT", "maximum": "1.5"}], "properties[0].maximum: '1.5' is no INT"),
        ([{"name": "a", "type": "INT", "minimum": 5, "maximum": 3}], "properties[0].minimum: 5 is more than"),
        ([{"name": "a", "type": "TEXT"}], "value of type must be one of: INT, FLOAT"),
        ([{"name": "a", "type": "INT", "mode": "rw"}], "properties.mode"),
    ],
)
def test_a_model_that_cannot_be_is_refused_by_its_field(
    keadm: FakeKeadm, cluster: dict[str, str], properties: list[dict[str, Any]], message: str
) -> None:
    result = run(device_model, name="boiler", properties=properties, **cluster)
    assert (result["failed"], keadm.calls) == (True, [])
    assert message in result["msg"]


def test_only_a_model_that_is_to_be_absent_needs_no_properties(
    keadm: FakeKeadm, cluster: dict[str, str]
) -> None:
    assert "properties" in run(device_model, name="boiler", **cluster)["msg"]
    keadm.answer(default={"changed": False, "objects": [{"action": "unchanged"}]})
    result = run(device_model, name="boiler", state="absent", **cluster, _ansible_check_mode=True)
    words, sent_model = sent(keadm)
    assert (words[0], words[-3]) == ("delete", "--check")
    assert sent_model["metadata"] == {"name": "boiler", "namespace": "default"}
    assert (result["changed"], result["action"]) == (False, "unchanged")


def test_a_device_is_what_was_given_and_nothing_else(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=DONE)
    result = run(
        device,
        name="cellar",
        namespace="house",
        model="boiler",
        node="edge1",
        labels={"floor": 0, "hot": True},
        annotations={"edgelab.io/spool": 600},
        protocol={"protocolName": "modbus", "configData": {"port": None, "password": "hunter2"}},
        properties=[
            {"name": "temperature", "reportToCloud": False, "collectCycle": 1000},
            {"name": "limit", "desired": 55, "visitors": {"configData": {"register": 3}}},
        ],
        methods=[{"name": "heat", "propertyNames": ["limit"]}],
        stateReport={"reportToCloud": True},
        **cluster,
        _ansible_diff=True,
    )
    words, sent_device = sent(keadm)
    assert words[:2] == ["device", "apply"]
    assert "--purge" not in words
    assert sent_device["metadata"]["labels"] == {"floor": "0", "hot": "true"}
    assert sent_device["metadata"]["annotations"] == {"edgelab.io/spool": "600"}
    assert sent_device["spec"] == {
        "deviceModelRef": {"name": "boiler"},
        "nodeName": "edge1",
        "protocol": {"protocolName": "modbus", "configData": {"port": None, "password": "hunter2"}},
        "properties": [
            {"name": "temperature", "reportToCloud": False, "collectCycle": 1000},
            {"name": "limit", "desired": {"value": "55"}, "visitors": {"configData": {"register": 3}}},
        ],
        "methods": [{"name": "heat", "propertyNames": ["limit"]}],
        "stateReport": {"reportToCloud": True},
    }
    assert (result["action"], result["device"]) == ("changed", {"labels": {}, "spec": {"a": 2}})
    assert "Device/house/cellar" in result["diff"]["before"]
    assert "hunter2" not in json.dumps(result)


@pytest.mark.parametrize("check", [True, False])
def test_what_keadm_warns_of_is_a_warning_unless_a_task_before_would_have_mended_it(
    keadm: FakeKeadm, cluster: dict[str, str], capsys: pytest.CaptureFixture[str], check: bool
) -> None:
    keadm.answer(default={**DONE, "warnings": ["there is no model yet"]})
    result = run(device, name="cellar", **cluster, _ansible_check_mode=check)
    told = f"{result.get('warnings')} {capsys.readouterr().err}"  # releases of Ansible differ in the place
    assert ("there is no model yet" in told) is not check


def test_nothing_but_what_is_desired_can_be_said(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=DONE)
    run(device, name="cellar", properties=[{"name": "limit", "desired": 60}], purge=True, **cluster)
    words, sent_device = sent(keadm)
    assert sent_device["spec"] == {"properties": [{"name": "limit", "desired": {"value": "60"}}]}
    assert "--purge" in words


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (True, {"value": "true"}),
        (21.5, {"value": "21.5"}),
        ("on", {"value": "on"}),
        ("", {"value": ""}),
        (
            {"value": False, "metadata": {"type": "boolean"}},
            {"value": "false", "metadata": {"type": "boolean"}},
        ),
    ],
)
def test_a_desired_value_becomes_the_text_that_kubeedge_has_for_it(
    keadm: FakeKeadm, cluster: dict[str, str], given: Any, made: dict[str, Any]
) -> None:
    keadm.answer(default=DONE)
    run(device, name="cellar", properties=[{"name": "p", "desired": given}], **cluster)
    assert sent(keadm)[1]["spec"]["properties"] == [{"name": "p", "desired": made}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"properties": [{"name": "p", "desired": [1]}]}, "properties[0].desired: expected a text, a number"),
        ({"properties": [{"name": "p", "desired": {"val": 1}}]}, "properties[0].desired: expected a value"),
        ({"labels": {"a": {"b": "c"}}}, "labels.a: expected a text"),
        ({"annotations": {"a": ["b"]}}, "annotations.a: expected a text"),
        ({"protocol": {"name": "modbus"}}, "protocol.name"),
    ],
)
def test_a_device_that_cannot_be_is_refused_by_its_field(
    keadm: FakeKeadm, cluster: dict[str, str], options: dict[str, Any], message: str
) -> None:
    result = run(device, name="cellar", **options, **cluster)
    assert (result["failed"], keadm.calls) == (True, [])
    assert message in result["msg"]


def test_what_keadm_refuses_is_the_message(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    told = "device default/cellar: spec.properties[0].desired: limit: 91 is more than the model's maximum 90"
    keadm.answer(default={"error": told})
    result = run(device, name="cellar", properties=[{"name": "limit", "desired": 91}], **cluster)
    assert (result["failed"], result["msg"]) == (True, f"device: {told}")


def test_a_device_that_is_gone_is_no_device(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": True, "objects": [{"action": "deleted", "before": {}, "after": None}]})
    result = run(device, name="cellar", state="absent", purge=True, **cluster)
    words, sent_device = sent(keadm)
    assert (words[0], "--purge" in words, "spec" in sent_device) == ("delete", False, False)
    assert (result["action"], result["device"]) == ("deleted", {})


@pytest.mark.parametrize(
    ("module", "options", "changed"),
    [
        (device_model, {"name": "boiler", "properties": [TEMPERATURE]}, True),
        (device_model, {"name": "boiler", "state": "absent"}, False),
        (device, {"name": "cellar"}, True),
        (device, {"name": "cellar", "state": "absent"}, False),
        (device_info, {}, False),
    ],
)
def test_check_mode_before_anything_is_installed(
    module: Any, options: dict[str, Any], changed: bool, tmp_path: Path
) -> None:
    result = run(module, **options, keadm=str(tmp_path / "none"), _ansible_check_mode=True)
    assert (result["changed"], result["failed"]) == (changed, False)
    assert "is not there yet" in result["msg"]


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (device_model, {"name": "boiler", "properties": [TEMPERATURE]}),
        (device, {"name": "cellar", "purge": True, "model": "boiler"}),
        (
            device_info,
            {"name": "a", "namespace": "b", "node": "c", "model": "d", "label_selectors": ["e", "f=g"]},
        ),
    ],
)
def test_the_real_keadm_understands_the_question(
    module: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{free.getsockname()[1]}"
    kubeconfig = tmp_path / "kubeconfig"
    named = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
    }
    kubeconfig.write_text(json.dumps({"current-context": "c", **named}))
    result = run(
        module, **options, keadm=str(REAL_KEADM), kubeconfig=str(kubeconfig), _ansible_check_mode=True
    )
    assert result["failed"]
    assert "the API server cannot be reached" in result["msg"]


@pytest.mark.parametrize(
    ("module", "options", "changed"),
    [
        (device, {"name": "cellar"}, True),
        (device_info, {}, False),
        (mqtt_publish, {"topic": "a", "payload": "x"}, True),
    ],
)
def test_a_keadm_from_before_an_upgrade_fails_no_check_mode(
    keadm: FakeKeadm, cluster: dict[str, str], module: Any, options: dict[str, Any], changed: bool
) -> None:
    keadm.answer(default={"error": "keadm failed with status 2: No such command 'device'."})
    where = {"keadm": cluster["keadm"]} if module is mqtt_publish else cluster
    result = run(module, **options, **where, _ansible_check_mode=True)
    assert (result["failed"], result["changed"]) == (False, changed)
    assert "is of an older release" in result["msg"]
    assert run(module, **options, **where)["failed"] is True

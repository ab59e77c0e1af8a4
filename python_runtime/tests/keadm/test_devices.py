"""`keadm device`: devices with their twins, and changing parts of them. Excludes the API server's rules."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.keadm.api_server import ApiServer, Obj
from tests.keadm.conftest import Keadm
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app
from edgelab.keadm.devices.tables import since
from edgelab.keadm.devices.twins import join, typed

API = "/apis/devices.kubeedge.io/v1beta1/namespaces/default"
NOW = dt.datetime(2026, 1, 1, 0, 0, 10, tzinfo=dt.UTC)
STAMP = {"timestamp": "1767225604500", "type": "string"}
"""2026-01-01T00:00:04.500Z, as CloudCore writes it."""

MODEL: Obj = {
    "metadata": {"name": "thermometer"},
    "spec": {
        "protocol": "virtual",
        "properties": [
            {"name": "temperature", "type": "FLOAT", "accessMode": "ReadOnly", "unit": "Celsius"},
            {"name": "limit", "type": "INT", "accessMode": "ReadWrite", "minimum": "0", "maximum": "90"},
            {"name": "alarm", "type": "BOOLEAN", "accessMode": "ReadWrite"},
            {"name": "place", "type": "STRING", "accessMode": "ReadWrite"},
        ],
    },
}
SPEC: Obj = {
    "deviceModelRef": {"name": "thermometer"},
    "nodeName": "edge1",
    "protocol": {"protocolName": "virtual", "configData": {"address": "a", "baudRate": 9600}},
    "properties": [
        {"name": "temperature", "reportToCloud": True, "collectCycle": 1000},
        {"name": "limit", "desired": {"value": "40", "metadata": {"type": "int"}}, "reportCycle": 5000},
    ],
}


def manifest(spec: Obj, **metadata: Any) -> str:
    named = {"name": "boiler", **metadata}
    kind = {"apiVersion": "devices.kubeedge.io/v1beta1", "kind": "Device"}
    return json.dumps({**kind, "metadata": named, "spec": spec})


def twin(name: str, value: str, **more: Obj) -> Obj:
    return {"propertyName": name, "reported": {"value": value, "metadata": STAMP}, **more}


@pytest.fixture
def boiler(server: ApiServer) -> Obj:
    """A device, its model and what it reports; the stored Device."""
    server.store("POST", f"{API}/devicemodels/thermometer", MODEL)
    device = {"metadata": {"name": "boiler", "namespace": "default", "labels": {"a": "b"}}, "spec": SPEC}
    server.store("POST", f"{API}/devices/boiler", device)
    twins = [twin("temperature", "42.5"), twin("limit", "41", observedDesired={"value": "40"})]
    status = {"state": "online", "lastOnlineTime": "2026-01-01T00:00:00Z", "twins": twins}
    server.store("POST", f"{API}/devicestatuses/boiler", {"metadata": {"name": "boiler"}, "status": status})
    server.writes.clear()
    return server.objects[f"{API}/devices/boiler"]


@pytest.fixture
def apply(keadm: Keadm, kube_config: Path) -> Keadm:
    def run(*words: str | Path, stdin: str = "") -> tuple[int, dict[str, Any]]:
        return keadm("device", "apply", "--kube-config", kube_config, "-f", "-", *words, stdin=stdin)

    return run


def test_a_device_is_told_with_what_is_desired_and_reported_in_the_models_types(
    keadm: Keadm, boiler: Obj, kube_config: Path
) -> None:
    status, told = keadm("device", "get", "boiler", "--kube-config", kube_config)
    device = told["device"]
    assert (status, told["changed"]) == (0, False)
    assert (device["node"], device["model"], device["state"]) == ("edge1", "thermometer", "online")
    assert list(device["properties"]) == ["temperature", "limit", "alarm", "place"]
    limit = device["properties"]["limit"]
    assert (limit["type"], limit["accessMode"]) == ("INT", "ReadWrite")
    assert limit["desired"] == {"value": 40}
    assert (limit["reported"]["value"], limit["reported"]["timestamp"]) == (41, "2026-01-01T00:00:04.500Z")
    assert limit["observedDesired"] == {"value": 40, "timestamp": None, "age": None}
    assert device["properties"]["temperature"]["reported"]["value"] == 42.5
    assert device["properties"]["place"]["reported"] is None


def test_the_age_of_a_value_is_seconds_since_it_was_reported(boiler: Obj) -> None:
    twins = {"status": {"twins": [twin("limit", "41")]}}
    reported = join(boiler, twins, MODEL, NOW)["properties"]["limit"]["reported"]
    assert reported == {"value": 41, "timestamp": "2026-01-01T00:00:04.500Z", "age": 5.5}


def test_what_an_older_kubeedge_wrote_into_the_device_itself_is_told_too(boiler: Obj) -> None:
    old = {**boiler, "status": {"state": "ok", "twins": [twin("extra", "1.50")]}}
    told = join(old, None, None, NOW)
    assert told["state"] == "ok"
    assert told["properties"]["extra"]["reported"]["value"] == "1.50", "no model, no type"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("INT", "-3", -3),
        ("DOUBLE", "1e3", 1000.0),
        ("FLOAT", "nan", "nan"),
        ("BOOLEAN", "true", True),
        ("BOOLEAN", "yes", "yes"),
        ("INT", "1.5", "1.5"),
        ("STRING", "7", "7"),
        ("BYTES", "AQ==", "AQ=="),
        ("FLOAT", "", ""),
    ],
)
def test_a_value_that_is_none_of_its_type_stays_text(kind: str, text: str, value: Any) -> None:
    assert typed(kind, text) == value
    assert type(typed(kind, text)) is type(value)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), 1),
        (("--node", "edge1", "--model", "thermometer", "-n", "default", "--name", "boiler", "-l", "a=b"), 1),
        (("--node", "edge2"), 0),
        (("--model", "other"), 0),
        (("--name", "other"), 0),
        (("--namespace", "other"), 0),
        (("--selector", "a=c"), 0),
    ],
)
def test_devices_are_chosen_by_everything_that_is_given(
    keadm: Keadm, boiler: Obj, kube_config: Path, words: tuple[str, ...], found: int
) -> None:
    status, told = keadm("device", "list", "--kube-config", kube_config, *words)
    assert (status, len(told["devices"])) == (0, found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "--selector", "a in"), "--selector 'a in'"),
        (("get", "other"), "there is no device default/other"),
    ],
)
def test_what_cannot_be_read_is_named(
    keadm: Keadm, boiler: Obj, kube_config: Path, words: tuple[str, ...], message: str
) -> None:
    status, told = keadm("device", *words, "--kube-config", kube_config)
    assert status == 1
    assert message in told["error"]


def test_people_get_tables(boiler: Obj, kube_config: Path) -> None:
    words = ["device", "list", "--kube-config", str(kube_config)]
    head, line = CliRunner().invoke(app, words).stdout.splitlines()
    assert head.split() == ["NAMESPACE", "NAME", "MODEL", "NODE", "STATE", "REPORTED", "SINCE"]
    assert "temperature=42.5 Celsius, limit=41" in line
    words = ["device", "get", "boiler", "--kube-config", str(kube_config)]
    rows = [line.split()[:5] for line in CliRunner().invoke(app, words).stdout.splitlines()]
    assert ["limit", "INT", "ReadWrite", "40", "41"] in rows


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (1.44, "1.4s"), (600, "10m"), (2 * 86400, "2d"), (-3, "-3.0s")]
)
def test_how_long_ago(seconds: float | None, text: str) -> None:
    assert since(seconds) == text


def test_changing_what_is_desired_leaves_everything_else(
    apply: Keadm, server: ApiServer, boiler: Obj
) -> None:
    change = manifest({"properties": [{"name": "limit", "desired": {"value": "50"}}]}, labels={"c": "d"})
    status, told = apply("--check", stdin=change)
    assert (status, told["changed"], server.writes) == (0, True, [])
    status, told = apply(stdin=change)
    assert (status, told["objects"][0]["action"]) == (0, "changed")
    stored = server.objects[f"{API}/devices/boiler"]
    assert stored["metadata"]["labels"] == {"a": "b", "c": "d"}
    wanted = json.loads(json.dumps(SPEC))
    wanted["properties"][1]["desired"]["value"] = "50"
    assert stored["spec"] == wanted
    assert told["objects"][0]["before"]["spec"] == SPEC
    assert told["objects"][0]["after"]["spec"] == wanted
    assert apply(stdin=change)[1]["changed"] is False


def test_purge_leaves_only_what_is_named_and_the_labels(apply: Keadm, server: ApiServer, boiler: Obj) -> None:
    only = {"deviceModelRef": {"name": "thermometer"}, "properties": [{"name": "alarm"}]}
    assert apply("--purge", stdin=manifest(only))[1]["changed"] is True
    stored = server.objects[f"{API}/devices/boiler"]
    assert (stored["spec"], stored["metadata"]["labels"]) == (only, {"a": "b"})
    assert apply("--purge", stdin=manifest(only))[1]["changed"] is False


def test_parts_of_the_protocol_stay_and_its_data_are_replaced_as_a_whole(
    apply: Keadm, server: ApiServer, boiler: Obj
) -> None:
    apply(stdin=manifest({"protocol": {"configData": {"address": "b"}}}))
    protocol = server.objects[f"{API}/devices/boiler"]["spec"]["protocol"]
    assert protocol == {"protocolName": "virtual", "configData": {"address": "b"}}


def test_a_device_is_created_in_the_default_namespace_with_all_that_is_given(
    apply: Keadm, server: ApiServer
) -> None:
    status, told = apply(stdin=manifest(SPEC))
    assert (status, told["objects"][0]["action"]) == (0, "created")
    stored = server.objects[f"{API}/devices/boiler"]
    assert (stored["spec"], stored["metadata"]["namespace"]) == (SPEC, "default")
    assert "there is no DeviceModel default/thermometer yet" in told["warnings"][0]


def test_a_device_that_somebody_else_changed_meanwhile_is_read_again(
    apply: Keadm, server: ApiServer, boiler: Obj, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, path = server.answer, f"{API}/devices/boiler"
    theirs = iter(["edge7"])

    def race(method: str, asked: str, body: Any) -> tuple[int, Obj]:
        if method == "PUT" and (node := next(theirs, "")):
            server.store("PUT", path, {**server.objects[path], "spec": {**SPEC, "nodeName": node}})
        return answer(method, asked, body)

    monkeypatch.setattr(server, "answer", race)
    status, told = apply(stdin=manifest({"properties": [{"name": "alarm"}]}))
    assert (status, told["changed"]) == (0, True)
    spec = server.objects[path]["spec"]
    assert (spec["nodeName"], spec["properties"][-1]) == ("edge7", {"name": "alarm"})


def desire(name: str, value: str) -> Obj:
    return {"properties": [{"name": name, "desired": {"value": value}}]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (desire("limit", "1.5"), "spec.properties[0].desired: limit: '1.5' is no INT"),
        (desire("limit", "91"), "91 is more than the model's maximum 90"),
        (desire("limit", "-1"), "-1 is less than the model's minimum 0"),
        (desire("alarm", "True"), "must be true or false"),
        (desire("temperature", "1"), "the model says ReadOnly"),
        (desire("speed", "1"), "spec.properties[0].name: 'speed' is no property of the model"),
        ({"properties": [{"name": "limit"}, {"name": "limit"}]}, "spec.properties[1].name: 'limit' is there"),
        ({"properties": [{"collectCycle": 1}]}, "spec.properties[0].name: is missing"),
        ({"properties": [{"name": "limit", "reportCycle": -5}]}, "spec.properties[0].reportCycle: -5 ms"),
        (
            {"methods": [{"name": "set", "propertyNames": ["speed"]}]},
            "spec.methods[0].propertyNames: 'speed' is no property",
        ),
    ],
)
def test_what_the_model_does_not_allow_is_refused_by_its_field(
    apply: Keadm, server: ApiServer, boiler: Obj, spec: Obj, message: str
) -> None:
    status, told = apply(stdin=manifest(spec))
    assert (status, server.writes) == (1, [])
    assert message in told["error"]
    assert "device default/boiler: " in told["error"]


def test_a_device_without_a_model_and_other_kinds_are_refused(apply: Keadm) -> None:
    assert "spec.deviceModelRef.name: a device needs a model" in apply(stdin=manifest({}))[1]["error"]
    other = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})
    assert "for others there is keadm apply" in apply(stdin=other)[1]["error"]

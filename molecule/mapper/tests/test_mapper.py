"""Mappers as services: what they report by DMI and MQTT, and how they are boxed in, changed and removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
MAPPERS = Path(__file__).resolve().parents[1] / "mappers.yml"
EXPOSURE = 2.0
"""What systemd-analyze may say of a mapper at most, of 10."""
PORTS = {"waves": 7801, "counter": 7802}
WAVES = {"name": "waves", "program": "virtual", "http_port": 7801}
COUNTER = {
    "name": "counter",
    "program": "/usr/local/lib/counter.py",
    "protocol": "counter",
    "http_port": 7802,
    "credentials": {"seed": "abracadabra"},
    "settings": {"mqtt": {"address": "tcp://127.0.0.1:1883"}},
}
"""Both as another run may want them; in the converge the counter has devices and other secrets."""
API = {"apiVersion": "devices.kubeedge.io/v1beta1"}
WAVE_MODEL: dict[str, Any] = {
    **API,
    "kind": "DeviceModel",
    "metadata": {"name": "wave", "namespace": "default"},
    "spec": {
        "protocol": "virtual",
        "properties": [
            {"name": "level", "type": "FLOAT", "accessMode": "ReadOnly", "minimum": "20", "maximum": "30"},
            {"name": "sensor", "type": "STRING", "accessMode": "ReadOnly"},
        ],
    },
}
REPORTED = {"collectCycle": 500, "reportCycle": 500, "reportToCloud": True}
WAVE: dict[str, Any] = {
    **API,
    "kind": "Device",
    "metadata": {"name": "wave-1", "namespace": "default"},
    "spec": {
        "deviceModelRef": {"name": "wave"},
        "nodeName": "edge1",
        "protocol": {"protocolName": "virtual"},
        "properties": [{"name": "level", **REPORTED}, {"name": "sensor", **REPORTED}],
    },
}
POD_MODEL = {
    **WAVE_MODEL,
    "metadata": {"name": "pod-wave", "namespace": "default"},
    "spec": {**WAVE_MODEL["spec"], "protocol": "podded"},
}
POD_WAVE = {
    **WAVE,
    "metadata": {"name": "pod-wave-1", "namespace": "default"},
    "spec": {
        **WAVE["spec"],
        "deviceModelRef": {"name": "pod-wave"},
        "protocol": {"protocolName": "podded"},
    },
}
Kubectl = Callable[..., str]
Eventually = Callable[..., Any]
Play = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module", autouse=True)
def devices(kubectl: Kubectl) -> Iterator[None]:
    """The devices of both mappers, in the cluster; those of the counter are the ones of its own settings."""
    plays = yaml.safe_load(MAPPERS.read_text(encoding="utf-8"))
    counter = [plays[0]["vars"][f"_mapper_test_{what}"] for what in ("model", "device")]
    documents = [WAVE_MODEL, WAVE, POD_MODEL, POD_WAVE, *counter]
    for document in documents:
        kubectl("apply", "-f", "-", stdin=json.dumps(document))
    yield
    kubectl("delete", "device", "wave-1", "pod-wave-1", "counter-1")
    kubectl("delete", "devicemodel", "wave", "pod-wave", "counter")


def unit(name: str) -> str:
    return f"edgelab-mapper-{name}.service"


def process(host: Host, name: str) -> str:
    return str(host.service(unit(name)).systemd_properties["MainPID"])


def answers(host: Host, name: str) -> bool:
    return "running normally" in host.run(f"curl -sS http://127.0.0.1:{PORTS[name]}/api/v1/ping").stdout


def reported(kubectl: Kubectl, device: str) -> dict[str, str]:
    """What a device says of itself in the cluster."""
    twins = json.loads(kubectl("get", "devicestatus", device, "-o", "json"))["status"]["twins"]
    return {twin["propertyName"]: twin["reported"]["value"] for twin in twins}


@pytest.mark.parametrize("name", PORTS)
def test_a_mapper_runs_now_and_after_a_reboot_in_a_box(
    host: Host, exposure: Callable[[Host, str], float], name: str
) -> None:
    service = host.service(unit(name))
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["Type"] == "notify"
    assert service.systemd_properties["NRestarts"] == "0"
    assert host.process.get(pid=int(process(host, name))).user not in {"root", "0"}
    assert exposure(host, unit(name)) <= EXPOSURE


@pytest.mark.parametrize("name", PORTS)
def test_its_rest_api_is_for_its_host_alone(host: Host, name: str) -> None:
    assert answers(host, name)
    assert host.socket(f"tcp://127.0.0.1:{PORTS[name]}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{PORTS[name]}").is_listening


def test_memory_and_serial_devices_are_what_was_asked_for(host: Host) -> None:
    waves, counter = (host.service(unit(name)).systemd_properties for name in PORTS)
    assert int(counter["MemoryHigh"]) == 64 << 20
    assert int(waves["MemoryHigh"]) == 96 << 20
    assert (waves["PrivateDevices"], counter["DevicePolicy"]) == ("yes", "closed")
    allowed = host.check_output(f"systemctl show --property=DeviceAllow {unit('counter')}")
    assert "DeviceAllow=/dev/ttyS9 rw" in allowed
    assert "DeviceAllow=char-ttyUSB rw" in allowed
    assert "dialout" in counter["SupplementaryGroups"]
    assert "dialout" not in waves["SupplementaryGroups"]


@pytest.mark.parametrize("name", ["config.yaml", "seed", "mqtt"])
def test_its_configuration_and_secrets_are_for_root_alone(host: Host, name: str) -> None:
    file = host.file(f"/etc/edgelab/mappers/counter/{name}")
    assert (file.user, file.mode) == ("root", 0o600)


def test_what_a_mapper_reports_by_dmi_is_in_the_cluster(
    host: Host, kubectl: Kubectl, eventually: Eventually
) -> None:
    """Without a right on anything but the socket, which belongs to the mappers' group."""
    socket = host.file("/run/edgelab-dmi/dmi.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "edgelab-dmi", 0o660)
    first = eventually(lambda: reported(kubectl, "wave-1"), "the device is told", 60)
    assert first["sensor"] == "simulated"
    assert 20 <= float(first["level"]) <= 30
    eventually(lambda: reported(kubectl, "wave-1")["level"] != first["level"], "a newer value", 30)


def test_what_a_mapper_of_ones_own_reports_over_mqtt_is_in_the_cluster(
    kubectl: Kubectl, eventually: Eventually
) -> None:
    first = eventually(lambda: reported(kubectl, "counter-1"), "the device is told", 60)
    eventually(lambda: int(reported(kubectl, "counter-1")["count"]) > int(first["count"]), "more", 30)
    assert first["secret"] == "sesame"[::-1], "the secret came as a file, and is known to the mapper"


def test_a_mapper_in_a_pod_reports_by_dmi_as_nobody_in_particular(
    host: Host, kubectl: Kubectl, eventually: Eventually
) -> None:
    [pod] = json.loads(kubectl("get", "pods", "-l", "app.kubernetes.io/instance=podded", "-o", "json"))[
        "items"
    ]
    assert (pod["spec"]["nodeName"], pod["status"]["phase"]) == ("edge1", "Running")
    socket = host.file("/run/edgelab-dmi/podded.sock")
    assert (socket.uid, socket.group) == (65532, "edgelab-dmi")
    first = eventually(lambda: reported(kubectl, "pod-wave-1"), "the device is told", 60)
    eventually(lambda: reported(kubectl, "pod-wave-1")["level"] != first["level"], "a newer value", 30)


def test_a_mapper_registers_again_after_a_restart_of_edgecore(
    host: Host, kubectl: Kubectl, eventually: Eventually
) -> None:
    before = process(host, "waves")
    host.check_output("systemctl restart edgecore")
    eventually(lambda: host.file("/run/edgelab-dmi/dmi.sock").group == "edgelab-dmi", "its socket", 30)
    last = reported(kubectl, "wave-1")["level"]
    eventually(lambda: reported(kubectl, "wave-1")["level"] != last, "a newer value", 60)
    assert process(host, "waves") == before


def test_a_mapper_that_is_killed_comes_back(host: Host, eventually: Eventually) -> None:
    before = process(host, "waves")
    host.check_output(f"kill -KILL {before}")
    eventually(
        lambda: process(host, "waves") not in {"0", before} and answers(host, "waves"), "it is back", 30
    )


def test_a_configuration_that_the_mapper_refuses_changes_nothing(host: Host, play: Play) -> None:
    path = "/etc/edgelab/mappers/waves/config.yaml"
    before = (host.file(path).content_string, process(host, "waves"))
    wrong = {**WAVES, "settings": {"common": {"http_prot": 1}}}
    status, text = play(MAPPERS, {"mapper_instances": [wrong]})
    assert status != 0
    assert "nothing was changed" in text
    assert "http_prot" in text
    assert (host.file(path).content_string, process(host, "waves")) == before


def test_mistakes_are_told_before_the_host_is_touched(play: Play) -> None:
    twice = [WAVES, {**WAVES, "name": "other"}]
    status, text = play(MAPPERS, {"mapper_instances": [*twice, {"name": "a b"}]})
    assert status != 0
    assert "2 mappers want 7801" in text
    assert "2 mappers want virtual" in text
    assert "mapper_instances[2] (a b): name: expected" in text


def test_the_runtime_has_the_packages_of_the_extras_and_says_so(host: Host) -> None:
    for module in ("pymodbus", "serial", "asyncua"):
        host.check_output(f"/opt/edgelab/current/bin/python -I -c 'import {module}'")
    assert host.file("/opt/edgelab/current").linked_to.endswith(".modbus.opcua")


def test_check_mode_makes_no_mapper(host: Host, play: Play) -> None:
    new = {"name": "new", "program": "virtual", "protocol": "other", "http_port": 7803}
    status, text = play(MAPPERS, {"mapper_instances": [WAVES, new]}, "--check", "--diff")
    assert status == 0, text
    assert "failed=0" in text
    assert not host.file("/etc/systemd/system/edgelab-mapper-new.service").exists
    assert not host.file("/etc/edgelab/mappers/new").exists


def test_another_secret_restarts_its_mapper_alone_and_is_not_shown(host: Host, play: Play) -> None:
    before = {name: process(host, name) for name in PORTS}
    status, text = play(MAPPERS, {"mapper_instances": [WAVES, COUNTER]}, "-vv", "--diff")
    assert status == 0, text
    assert "abracadabra" not in text
    assert process(host, "waves") == before["waves"]
    assert process(host, "counter") != before["counter"]
    assert host.file("/etc/edgelab/mappers/counter/seed").content_string == "abracadabra"


def test_a_pod_that_shall_not_be_there_goes_with_its_secret(
    host: Host, play: Play, kubectl: Kubectl, eventually: Eventually
) -> None:
    without = {"mapper_instances": [{"name": "podded", "mode": "pod", "state": "absent"}]}
    status, text = play(MAPPERS, without)
    assert status == 0, text
    what = ("deployments,secrets", "-l", "app.kubernetes.io/name=edgelab-mapper", "-o", "name")
    assert kubectl("get", *what) == ""
    eventually(lambda: not host.file("/run/edgelab-dmi/podded.sock").exists, "its socket is gone", 60)
    status, text = play(MAPPERS, without)
    assert (status, "changed=0" in text) == (0, True), text


def test_a_mapper_that_shall_not_be_there_leaves_nothing(host: Host, play: Play) -> None:
    before = process(host, "waves")
    without = {"mapper_instances": [WAVES, {"name": "counter", "state": "absent"}]}
    status, text = play(MAPPERS, without)
    assert status == 0, text
    assert host.check_output("systemctl list-units --all --no-legend --plain 'edgelab-mapper-counter*'") == ""
    found = "find /etc /run -name '*edgelab-mapper-counter*' -o -path '/etc/edgelab/mappers/counter'"
    assert host.run(found).stdout == ""
    assert not host.socket("tcp://127.0.0.1:7802").is_listening
    assert process(host, "waves") == before
    status, text = play(MAPPERS, without)
    assert (status, "changed=0" in text) == (0, True), text
    status, text = play(MAPPERS, {})
    assert status == 0, text
    assert answers(host, "counter")

"""A temperature on its way from the edge node into the time series, with its labels, and what it outlives."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
DEMO = Path(__file__).resolve().parents[1] / "demo.yml"
UNIT = "edgelab-cpu-temperature"
EXPOSURE = 2.0
"""What systemd-analyze may say of the mapper at most, of 10."""
LABELS = {"namespace": "default", "device": "board", "node": "edge1"}
Kubectl = Callable[..., str]
Machine = Callable[[str], Host]
Eventually = Callable[..., Any]


@pytest.fixture
def samples(machine: Machine) -> Callable[[], int]:
    """How many samples of the device there are; fails while there is not exactly one series of it."""

    def count() -> int:
        expression = shlex.quote("query=count_over_time(kubeedge_device_temperature[1h])")
        asked = f"curl -sS --fail -G http://127.0.0.1:8428/api/v1/query --data-urlencode {expression}"
        [found] = json.loads(machine("cloud").check_output(asked))["data"]["result"]
        assert found["metric"].items() >= LABELS.items()
        return int(found["value"][1])

    return count


def reported(kubectl: Kubectl) -> dict[str, str]:
    """What the device says of itself in the cluster."""
    twins = json.loads(kubectl("get", "devicestatus", "board", "-o", "json"))["status"]["twins"]
    return {twin["propertyName"]: twin["reported"]["value"] for twin in twins}


def test_the_mapper_runs_now_and_after_a_reboot_in_a_box(
    host: Host, exposure: Callable[[Host, str], float]
) -> None:
    service = host.service(UNIT)
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["Type"] == "notify"
    assert service.systemd_properties["NRestarts"] == "0"
    assert host.process.get(pid=int(service.systemd_properties["MainPID"])).user != "root"
    assert exposure(host, f"{UNIT}.service") <= EXPOSURE


def test_samples_arrive_as_often_as_asked(samples: Callable[[], int], eventually: Eventually) -> None:
    before = samples()
    eventually(lambda: samples() >= before + 5, "five more samples, one a second", 30)


def test_the_device_says_what_its_values_come_from(kubectl: Kubectl) -> None:
    device = json.loads(kubectl("get", "device", "board", "-o", "json"))
    twin = reported(kubectl)
    assert device["spec"]["nodeName"] == "edge1"
    assert twin["sensor"] in {"thermal", "hwmon", "simulated"}
    assert device["metadata"]["labels"]["sensor"] == twin["sensor"]
    assert device["spec"]["protocol"]["configData"]["sensor"] == twin["sensor"]
    assert -40 < float(twin["temperature"]) < 150


@pytest.mark.parametrize(
    ("where", "unit"),
    [("edge1", UNIT), ("edge1", "mosquitto"), ("edge1", "edgecore"), ("cloud", "cloudcore")],
)
def test_samples_go_on_after_a_restart_on_their_way(
    machine: Machine, samples: Callable[[], int], eventually: Eventually, where: str, unit: str
) -> None:
    machine(where).check_output(f"systemctl restart {unit}")
    before = samples()
    eventually(lambda: samples() >= before + 3, f"three more samples after a restart of {unit}", 60)


def test_a_device_that_was_deleted_comes_back_with_the_next_run(
    kubectl: Kubectl, play: Callable[..., tuple[int, str]], samples: Callable[[], int], eventually: Eventually
) -> None:
    kubectl("delete", "device", "board")
    status, text = play(DEMO, {})
    assert status == 0, text
    before = samples()
    eventually(lambda: samples() >= before + 3, "three more samples of the device made anew", 60)

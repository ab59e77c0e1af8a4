"""Which reported values become samples, and how they are written down."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.twinexporter.influx import line
from edgelab.twinexporter.samples import Device, Sample, Twins

DEVICE = {"metadata": {"namespace": "default", "name": "edge1-cpu"}, "spec": {"nodeName": "edge1"}}


def status(**values: tuple[str | None, str | None]) -> dict[str, Any]:
    twins = [
        {
            "propertyName": name,
            "reported": {"value": value, "metadata": {"timestamp": stamp, "type": "float"}},
        }
        for name, (value, stamp) in values.items()
    ]
    return {"metadata": {"namespace": "default", "name": "edge1-cpu"}, "status": {"twins": twins}}


@pytest.fixture
def samples() -> list[Sample]:
    return []


@pytest.fixture
def twins(samples: list[Sample]) -> Twins:
    twins = Twins(samples.append)
    twins.on_device("ADDED", None, DEVICE)
    return twins


def test_a_reported_number_becomes_a_sample_at_the_time_of_the_report(
    twins: Twins, samples: list[Sample]
) -> None:
    twins.on_status("ADDED", None, status(temperature=("42.5", "1767225600123")))
    assert [line(sample) for sample in samples] == [
        "kubeedge_device,namespace=default,device=edge1-cpu,node=edge1 temperature=42.5 1767225600123000000"
    ]


def test_a_timestamp_that_did_not_change_is_no_new_sample(twins: Twins, samples: list[Sample]) -> None:
    for value, stamp in (("1", "10"), ("1", "10"), ("1", "11")):
        twins.on_status("MODIFIED", None, status(t=(value, stamp)))
    assert [sample.milliseconds for sample in samples] == [10, 11]
    assert twins.counters.samples == 2


@pytest.mark.parametrize("value", ["simulated", "true", "nan", "inf", "1_000", "0x10", "1,5", "--1", "1e999"])
def test_what_is_no_number_is_counted_once_and_has_none(
    twins: Twins, samples: list[Sample], value: str
) -> None:
    for _ in range(2):
        twins.on_status("MODIFIED", None, status(sensor=(value, "10")))
    assert [(sample.value, sample.number) for sample in samples] == [(value, None)]
    assert twins.counters.not_numeric == 1


@pytest.mark.parametrize("stamp", ["", "soon", "²", "-1", "9223372036855", "1" * 5000])
def test_what_has_no_timestamp_is_counted_and_left_out(
    twins: Twins, samples: list[Sample], stamp: str
) -> None:
    twins.on_status("ADDED", None, status(t=("1", stamp)))
    assert (samples, twins.counters.no_timestamp) == ([], 1)


def test_values_that_were_never_reported_are_left_out(twins: Twins, samples: list[Sample]) -> None:
    bare: dict[str, Any] = {**status(t=(None, None))}
    bare["status"]["twins"].append({"propertyName": "x", "observedDesired": {"value": "3"}})
    twins.on_status("ADDED", None, bare)
    twins.on_status("MODIFIED", None, {"metadata": bare["metadata"], "spec": {}})
    assert samples == []


def test_a_status_that_comes_before_its_device_waits_for_the_node_name(samples: list[Sample]) -> None:
    twins = Twins(samples.append)
    twins.on_status("ADDED", None, status(t=("1", "10")))
    assert samples == []
    twins.on_device("ADDED", None, DEVICE)
    assert "node=edge1 t=1.0" in line(samples[0])


def test_a_device_that_was_deleted_and_made_again_starts_anew(twins: Twins, samples: list[Sample]) -> None:
    for event in ("ADDED", "DELETED", "ADDED"):
        twins.on_status(event, None, status(t=("1", "10")))
    assert len(samples) == 2


def test_a_deletion_of_the_device_is_told_once_and_ends_what_was_seen(samples: list[Sample]) -> None:
    told: list[Device] = []
    twins = Twins(samples.append, told.append)
    for event in ("ADDED", "DELETED", "DELETED", "ADDED"):
        twins.on_device(event, None, DEVICE)
        twins.on_status("MODIFIED", None, status(t=("1", "10")))
    assert told == [("default", "edge1-cpu")]
    assert len(samples) == 2


def test_live_are_devices_with_what_they_report_now(twins: Twins) -> None:
    twins.on_status("ADDED", None, status(t=("1", "10"), u=("2", "10")))
    twins.on_status("MODIFIED", None, status(u=("2", "10")))
    assert twins.live() == {("default", "edge1-cpu"): {"u"}}


def test_names_cannot_break_out_of_their_place() -> None:
    text = line(Sample(("a b", "d,x=y"), "n\nm", "temp °C", "1", 1, 1.0))
    assert text == r"kubeedge_device,namespace=a\ b,device=d\,x\=y,node=n\ m temp__C=1.0 1000000"

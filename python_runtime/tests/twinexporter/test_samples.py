"""Which reported values become samples, and how they are written down."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.twinexporter.samples import Twins, line
from edgelab.twinexporter.writer import Writer

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
def lines() -> list[str]:
    return []


@pytest.fixture
def twins(lines: list[str]) -> Twins:
    twins = Twins(lines.append)
    twins.on_device("ADDED", None, DEVICE)
    return twins


def test_a_reported_number_becomes_a_sample_at_the_time_of_the_report(twins: Twins, lines: list[str]) -> None:
    twins.on_status("ADDED", None, status(temperature=("42.5", "1767225600123")))
    assert lines == [
        "kubeedge_device,namespace=default,device=edge1-cpu,node=edge1 temperature=42.5 1767225600123000000"
    ]


def test_a_timestamp_that_did_not_change_is_no_new_sample(twins: Twins, lines: list[str]) -> None:
    for value, stamp in (("1", "10"), ("1", "10"), ("1", "11")):
        twins.on_status("MODIFIED", None, status(t=(value, stamp)))
    assert [text.rsplit(" ", 1)[1] for text in lines] == ["10000000", "11000000"]
    assert twins.counters.samples == 2


@pytest.mark.parametrize("value", ["simulated", "true", "nan", "inf", "1_000", "0x10", "1,5", "--1", "1e999"])
def test_what_is_no_number_is_counted_once_and_left_out(twins: Twins, lines: list[str], value: str) -> None:
    for _ in range(2):
        twins.on_status("MODIFIED", None, status(sensor=(value, "10")))
    assert (lines, twins.counters.not_numeric) == ([], 1)


@pytest.mark.parametrize("stamp", ["", "soon", "²"])
def test_what_has_no_timestamp_is_counted_and_left_out(twins: Twins, lines: list[str], stamp: str) -> None:
    twins.on_status("ADDED", None, status(t=("1", stamp)))
    assert (lines, twins.counters.no_timestamp) == ([], 1)


def test_values_that_were_never_reported_are_left_out(twins: Twins, lines: list[str]) -> None:
    bare: dict[str, Any] = {**status(t=(None, None))}
    bare["status"]["twins"].append({"propertyName": "x", "observedDesired": {"value": "3"}})
    twins.on_status("ADDED", None, bare)
    twins.on_status("MODIFIED", None, {"metadata": bare["metadata"], "spec": {}})
    assert lines == []


def test_a_status_that_comes_before_its_device_waits_for_the_node_name(lines: list[str]) -> None:
    twins = Twins(lines.append)
    twins.on_status("ADDED", None, status(t=("1", "10")))
    assert lines == []
    twins.on_device("ADDED", None, DEVICE)
    assert "node=edge1 t=1.0" in lines[0]


def test_a_device_that_was_deleted_and_made_again_starts_anew(twins: Twins, lines: list[str]) -> None:
    for event in ("ADDED", "DELETED", "ADDED"):
        twins.on_status(event, None, status(t=("1", "10")))
    assert len(lines) == 2


def test_names_cannot_break_out_of_their_place() -> None:
    text = line(("a b", "d,x=y"), "n\nm", "temp °C", "1", 1)
    assert text == r"kubeedge_device,namespace=a\ b,device=d\,x\=y,node=n\ m temp__C=1.0 1000000"


def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    writer = Writer("http://127.0.0.1:1/write", limit=3)
    for number in range(5):
        writer.put(str(number))
    assert (writer.waiting, writer.written.dropped) == (3, 2)
    assert writer._take() == ["2", "3", "4"]


def test_lines_given_back_keep_their_order_and_the_newest_stay() -> None:
    writer = Writer("http://127.0.0.1:1/write", limit=3)
    for text in "abc":
        writer.put(text)
    batch = writer._take()
    writer.put("d")
    writer._give_back(batch)
    assert (writer._take(), writer.written.dropped) == (["b", "c", "d"], 1)

"""Twins as gauges: names, escapes and limits."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.twinexporter import gauges
from edgelab.twinexporter.gauges import LONGEST, collected
from edgelab.twinexporter.samples import Twins


def twins(device: str = "d", node: str = "e", state: str = "", **values: tuple[str, str]) -> Twins:
    found = Twins(lambda _sample: None)
    meta = {"namespace": "n", "name": device}
    entries: list[dict[str, Any]] = [
        {"propertyName": name, "reported": {"value": value, "metadata": {"timestamp": at}}}
        for name, (value, at) in values.items()
    ]
    found.on_device("ADDED", None, {"metadata": meta, "spec": {"nodeName": node}})
    found.on_status("ADDED", None, {"metadata": meta, "status": {"twins": entries, "state": state}})
    return found


def exposed(twins: Twins) -> list[str]:
    [*_, last] = collected(twins)
    return last.text().splitlines()


def test_a_number_its_time_and_the_state() -> None:
    assert exposed(twins(state="online", t=("21.50", "1767225600123"))) == [
        "# HELP kubeedge_device_reported What the device reported last of a property.",
        "# TYPE kubeedge_device_reported gauge",
        'kubeedge_device_reported{namespace="n",device="d",node="e",property="t"} 21.5',
        "# HELP kubeedge_device_reported_timestamp_seconds When it did, in seconds since 1970.",
        "# TYPE kubeedge_device_reported_timestamp_seconds gauge",
        'kubeedge_device_reported_timestamp_seconds{namespace="n",device="d",node="e",property="t"}'
        " 1767225600.123",
        "# HELP kubeedge_device_state 1 for the state that the device is in.",
        "# TYPE kubeedge_device_state gauge",
        'kubeedge_device_state{namespace="n",device="d",node="e",state="online"} 1',
    ]


def test_texts_are_left_out_and_nothing_is_said_of_nothing() -> None:
    assert exposed(twins(t=("warm", "1"))) == []


def test_a_number_without_a_time_is_a_number() -> None:
    lines = exposed(twins(t=("1", "soon")))
    assert [line for line in lines if line[0] != "#"] == [
        'kubeedge_device_reported{namespace="n",device="d",node="e",property="t"} 1.0'
    ]


def test_labels_cannot_break_out_of_their_place() -> None:
    lines = exposed(twins(node='a"b\\c\nd', **{'p"} 1\nevil 2': ("1", "1")}))
    assert lines[2] == (
        r'kubeedge_device_reported{namespace="n",device="d",node="a\"b\\c\nd",property="p\"} 1\nevil 2"} 1.0'
    )
    assert len(lines) == 6


def test_a_name_that_is_too_long_is_left_out_and_counted() -> None:
    [*_, last] = collected(twins(**{"p" * (LONGEST + 1): ("1", "1"), "q" * LONGEST: ("2", "1")}))
    assert (len(last.reported), last.left_out) == (1, 1)


def test_there_is_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "MOST", 2)
    [*_, last] = collected(twins(**dict.fromkeys("abcde", ("1", "1"))))
    assert (len(last.reported), last.left_out) == (2, 3)


def test_a_property_that_is_there_twice_is_one_gauge() -> None:
    found = twins(t=("1", "1"))
    status = found.statuses["n", "d"]["status"]
    status["twins"] = status["twins"] * 2
    assert sum(line.startswith("kubeedge_device_reported{") for line in exposed(found)) == 1


def test_a_device_that_was_deleted_has_none() -> None:
    found = twins(state="online", t=("1", "1"))
    found.on_device("DELETED", None, {"metadata": {"namespace": "n", "name": "d"}})
    assert exposed(found) == []

from __future__ import annotations

from edgelab.edgesite.apiserver.usage.history import History, Usage
from edgelab.edgesite.apiserver.usage.page import BILLION, Point, Reading

POD = ("default", "web")


def node(seconds: float, cpu: float, memory: int = 1 << 30) -> Reading:
    return Reading(Point(int(seconds * BILLION), int(cpu * BILLION), memory))


def pod(seconds: float, cpu: float, start: float = 0) -> Reading:
    point = Point(int(seconds * BILLION), int(cpu * BILLION), 4096, int(start * BILLION))
    return Reading(None, {POD: {"c": point}})


def test_usage_is_what_lies_between_two_readings() -> None:
    history = History()
    history.add("n1", node(100, 50))
    assert history.node("n1") is None
    history.add("n1", node(110, 55, 2 << 30))
    assert history.node("n1") == Usage(BILLION // 2, 2 << 30, 110 * BILLION, 10 * BILLION)
    assert history.node("n2") is None


def test_a_reading_that_is_not_newer_changes_nothing() -> None:
    history = History()
    for reading in (node(100, 50), node(110, 55), node(110, 55), node(105, 54)):
        history.add("n1", reading)
    assert history.node("n1") == Usage(BILLION // 2, 1 << 30, 110 * BILLION, 10 * BILLION)


def test_a_counter_that_went_back_tells_nothing() -> None:
    history = History()
    history.add("n1", node(100, 50))
    history.add("n1", node(110, 3))
    assert history.node("n1") is None


def test_a_container_that_started_anew_begins_anew() -> None:
    history = History()
    history.add("n1", pod(100, 50, 10))
    history.add("n1", pod(115, 52, 10))
    assert history.pod("n1", POD) == {"c": Usage(2 * BILLION // 15, 4096, 115 * BILLION, 15 * BILLION)}
    history.add("n1", pod(130, 1, 125))
    assert history.pod("n1", POD) is None
    history.add("n1", pod(145, 4, 125))
    assert history.pod("n1", POD) == {"c": Usage(BILLION // 5, 4096, 145 * BILLION, 15 * BILLION)}


def test_a_container_of_some_seconds_is_measured_from_its_start() -> None:
    history = History()
    history.add("n1", pod(100, 3, 88))
    assert history.pod("n1", POD) == {"c": Usage(BILLION // 4, 4096, 100 * BILLION, 12 * BILLION)}


def test_who_is_told_of_no_longer_is_forgotten() -> None:
    history = History()
    history.add("n1", Reading(node(100, 1).node, pod(100, 1).pods))
    history.add("n1", Reading(node(110, 2).node, pod(110, 2).pods))
    assert history.pod("n1", POD)
    history.add("n1", node(120, 3))
    assert history.pod("n1", POD) is None
    assert history.node("n1")
    history.keep(set())
    assert history.node("n1") is None

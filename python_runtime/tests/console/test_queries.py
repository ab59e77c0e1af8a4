"""Questions to the database, and curves out of its answers."""

from __future__ import annotations

import pytest

from edgelab.console.queries import RANGES, Query, window_of


def test_the_query_names_one_device_and_a_range() -> None:
    assert Query("default", "boiler", 900, 1000.5).parameters() == {
        "query": '{__name__=~"kubeedge_device_.+",namespace="default",device="boiler"}',
        "start": "100.500",
        "end": "1000.500",
        "step": "5s",
        "nocache": "1",
    }


def test_a_name_cannot_break_out_of_its_label() -> None:
    query = Query('a"} or {x="', "b\\\n", 300, 0).parameters()["query"]
    assert query == '{__name__=~"kubeedge_device_.+",namespace="a\\"} or {x=\\"",device="b\\\\\\n"}'


@pytest.mark.parametrize("seconds", RANGES)
def test_a_curve_has_a_bounded_number_of_points(seconds: int) -> None:
    assert seconds / Query("n", "d", seconds, 0).step <= 300


def test_what_two_nodes_reported_is_one_curve_in_order_and_only_numbers_count() -> None:
    def series(name: str, node: str, *values: tuple[float, str]) -> dict[str, object]:
        return {"metric": {"__name__": name, "node": node}, "values": [list(value) for value in values]}

    answer = {
        "data": {
            "result": [
                series("kubeedge_device_t", "b", (20, "2"), (30.5, "3")),
                series("kubeedge_device_t", "a", (10, "1"), (20, "NaN"), (25, "+Inf")),
                series("kubeedge_device_u", "a", (10, "NaN")),
            ]
        }
    }
    window = window_of(Query("n", "d", 300, 40.0), answer)
    assert (window.to, window.curves) == (40_000, {"t": [(10_000, 1.0), (20_000, 2.0), (30_500, 3.0)]})


@pytest.mark.parametrize("answer", [[], {}, {"data": None}, {"data": {"result": None}}])
def test_an_answer_without_series_has_no_curves(answer: object) -> None:
    assert window_of(Query("n", "d", 300, 0), answer).curves == {}

"""What a Device object wants becomes what is expected of the twins, once for each change of mind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgelab.edgecore.devicetwin.twins import update
from edgelab.edgecore.devicetwin.wishes import Wish, wish
from edgelab.protocol.twin import Twin

ACTUAL = {"actual": {"value": "20"}, "actual_version": {"cloud": 0, "edge": 3}}


def twin(expected: str | None = None, cloud: int = 0, edge: int = 0, kind: str = "string") -> dict[str, Any]:
    """A twin that has reported, in builtins."""
    half = {"expected": {"value": expected}, "expected_version": {"cloud": cloud, "edge": edge}}
    return {**ACTUAL, "optional": True, "metadata": {"type": kind}, **(half if expected is not None else {})}


DELETED = {"optional": True, "metadata": {"type": "deleted"}, "expected_version": {"cloud": 4, "edge": 2}}


@pytest.mark.parametrize(
    ("known", "before", "wanted", "version", "expected"),
    [
        pytest.param(None, {}, "25", 7, ("25", 7, 0), id="a property that has not reported"),
        pytest.param(twin(), {}, "25", 7, ("25", 7, 0), id="a property that has"),
        pytest.param(twin("21", 3, 2), {"t": "21"}, "25", 7, ("25", 7, 2), id="a change of mind"),
        pytest.param(twin("21", 3, 2), {"t": "25"}, "25", 7, None, id="the node's own wish stays"),
        pytest.param(twin("21", 7, 2), {}, "25", 7, None, id="after a start, this version was carried out"),
        pytest.param(twin("21", 6, 2), {}, "25", 7, ("25", 7, 2), id="after a start, it was not"),
        pytest.param(twin("25", 3, 2), {}, "25", 7, None, id="what is expected already"),
        pytest.param(twin("25", 3, 2), {"t": "25"}, None, 7, (None, 7, 2), id="wanted no more"),
        pytest.param(twin("21", 3, 2), {"t": "25"}, None, 7, None, id="wanted no more, but changed here"),
        pytest.param(DELETED, {}, "25", 7, ("25", 7, 2), id="a property that was deleted here"),
        pytest.param(twin(), {}, "25", 0, ("25", 0, 0), id="an object without a version"),
    ],
)
def test_wishes(
    known: dict[str, Any] | None,
    before: dict[str, str],
    wanted: str | None,
    version: int,
    expected: tuple[str | None, int, int] | None,
) -> None:
    state = {"t": msgspec.convert(known, Twin)} if known else {}
    outcome = wish(state, before, {"t": Wish(wanted)} if wanted else {}, version, 100)
    if expected is None:
        assert not outcome.changed
        return
    value, cloud, edge = expected
    new = msgspec.to_builtins(outcome.changed["t"])
    assert new.get("expected") == ({"value": value, "metadata": {"timestamp": 100}} if value else None)
    assert new["expected_version"] == {"cloud": cloud, "edge": edge}
    assert new.get("actual") == (ACTUAL["actual"] if known and "actual" in known else None)
    assert outcome.document["t"].current == outcome.changed["t"].public()


@pytest.mark.parametrize(
    ("key", "value", "kind", "problem"),
    [
        ("t", "warm", "int", "the value is not int or integer"),
        ("t", "x" * 513, "", "at most 512 characters"),
        ("t t", "1", "", "the key of twin must only include"),
    ],
)
def test_a_wish_that_no_device_can_meet_is_told_and_left(
    key: str, value: str, kind: str, problem: str
) -> None:
    outcome = wish({}, {}, {key: Wish(value, kind)}, 1, 1)
    assert problem in outcome.problems[key]
    assert not outcome.changed


def test_the_type_of_a_property_is_the_device_s_own_as_soon_as_it_reports() -> None:
    state = dict(wish({}, {}, {"t": Wish("21")}, 5, 1).changed)
    reported = msgspec.convert(
        {"t": {"actual": {"value": "20.5"}, "metadata": {"type": "float"}}}, dict[str, Twin]
    )
    state |= update(state, reported, 2).changed
    assert (state["t"].type, state["t"].expected and state["t"].expected.value) == ("float", "21")
    again = msgspec.convert({"t": {"actual": {"value": "1"}, "metadata": {"type": "int"}}}, dict[str, Twin])
    assert update(state, again, 3).changed["t"].type == "float"

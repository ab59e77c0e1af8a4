"""The twin algorithm: what each kind of message changes, and what it must not change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgelab.edgecore.devicetwin.twins import Outcome, Rejected, delta, sync, update
from edgelab.protocol.twin import Twin

Twins = dict[str, Twin]


def twins(**properties: Any) -> dict[str, Twin | None]:
    return msgspec.convert(properties, dict[str, Twin | None])


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def apply(state: Twins, request: dict[str, Twin | None], now: int = 100) -> Outcome:
    outcome = update(state, request, now)
    state |= outcome.changed
    return outcome


def test_a_new_property_is_text_optional_and_at_version_one() -> None:
    state: Twins = {}
    outcome = apply(state, twins(t={"actual": {"value": "26"}}))
    assert plain(state["t"]) == {
        "actual": {"value": "26", "metadata": {"timestamp": 100}},
        "optional": True,
        "metadata": {"type": "string"},
        "actual_version": {"cloud": 0, "edge": 1},
    }
    assert "actual_version" not in plain(outcome.result["t"])
    assert plain(outcome.document["t"])["last"] is None


def test_the_same_value_again_is_taken_and_counted() -> None:
    state: Twins = {}
    apply(state, twins(t={"actual": {"value": "1"}}))
    outcome = apply(state, twins(t={"actual": {"value": "1"}}), now=200)
    version = state["t"].actual_version
    assert version is not None
    assert version.edge == 2
    assert plain(outcome.document["t"])["last"]["actual"]["metadata"] == {"timestamp": 100}


@pytest.mark.parametrize(
    ("kind", "good", "bad", "reason"),
    [
        ("int", "-12", "1.5", "the value is not int or integer"),
        ("integer", "9223372036854775807", "9223372036854775808", "the value is not int or integer"),
        ("float", "1e+06", "warm", "the value is not float"),
        ("double", "2.5", "", "the value is not float"),
        ("boolean", "true", "True", "the bool value must be true or false"),
        ("INT", "7", "seven", "the value is not int or integer"),
        ("string", "20 °C", "a\nb", "the value must be printable and at most 512 characters long"),
        ("Updated", "x" * 512, "x" * 513, "the value must be printable and at most 512 characters long"),
    ],
)
def test_a_value_is_checked_against_the_type(kind: str, good: str, bad: str, reason: str) -> None:
    state: Twins = {}
    apply(state, twins(t={"actual": {"value": good}, "metadata": {"type": kind}}))
    with pytest.raises(Rejected) as refused:
        update(state, twins(t={"actual": {"value": bad}}), 1)
    assert str(refused.value) == reason


def test_one_bad_value_refuses_the_whole_message() -> None:
    state: Twins = {}
    apply(state, twins(n={"actual": {"value": "1"}, "metadata": {"type": "int"}}))
    before = dict(state)
    with pytest.raises(Rejected):
        apply(state, twins(a={"actual": {"value": "x"}}, n={"actual": {"value": "x"}}))
    assert state == before


def test_the_stored_type_stays_whatever_a_later_message_says() -> None:
    state: Twins = {}
    apply(state, twins(t={"actual": {"value": "1"}, "metadata": {"type": "int"}}))
    apply(state, twins(t={"actual": {"value": "2"}, "metadata": {"type": "Updated"}}))
    assert state["t"].type == "int"


def test_null_deletes_an_optional_property_and_nothing_else() -> None:
    state: Twins = {}
    apply(state, twins(a={"actual": {"value": "1"}}, b={"actual": {"value": "1"}, "optional": False}))
    outcome = apply(state, twins(ghost=None, a=None, b=None, c={"actual": {"value": "3"}}))
    assert state["a"].is_deleted
    assert not state["b"].is_deleted
    assert set(outcome.result) == {"a", "c"}
    assert outcome.result["a"] is None
    assert plain(outcome.document["a"])["current"] is None
    version = state["a"].actual_version
    assert version is not None
    assert version.edge == 2


def test_a_deleted_property_can_be_made_again_with_another_type() -> None:
    state: Twins = {}
    apply(state, twins(t={"actual": {"value": "1"}, "metadata": {"type": "int"}}))
    apply(state, twins(t=None))
    apply(state, twins(t={"actual": {"value": "warm"}, "metadata": {"type": "string"}}))
    version = state["t"].actual_version
    assert state["t"].type == "string"
    assert version is not None
    assert version.edge == 3


def test_a_half_without_value_counts_as_absent() -> None:
    state: Twins = {}
    apply(state, twins(t={"expected": {"value": "5"}, "actual": {}}))
    assert state["t"].actual is None
    apply(state, twins(t={"actual": {}, "expected": {}}))
    assert plain(state["t"].expected)["value"] == "5"


def test_optional_only_goes_from_true_to_false() -> None:
    state: Twins = {}
    apply(state, twins(t={"actual": {"value": "1"}}))
    apply(state, twins(t={"optional": False}))
    apply(state, twins(t={"optional": True}))
    assert state["t"].optional is False


def test_an_illegal_key_is_refused() -> None:
    with pytest.raises(Rejected):
        update({}, twins(**{"a b": {"actual": {"value": "1"}}}), 1)


def test_delta_lists_expected_values_that_the_device_does_not_have() -> None:
    state: Twins = {}
    apply(
        state,
        twins(
            same={"expected": {"value": "1"}, "actual": {"value": "1"}},
            other={"expected": {"value": "1"}, "actual": {"value": "0"}},
            missing={"expected": {"value": "on"}},
            unwanted={"actual": {"value": "9"}},
        ),
    )
    expected, differing = delta(state)
    assert set(expected) == {"same", "other", "missing"}
    assert differing == {"other": "1", "missing": "on"}


def test_the_cloud_wins_with_versions_that_are_not_behind() -> None:
    state: Twins = {}
    apply(state, twins(t={"actual": {"value": "1"}, "expected": {"value": "1"}}))
    newer = {
        "expected": {"value": "2"},
        "metadata": {"type": "string"},
        "expected_version": {"cloud": 7, "edge": 1},
    }
    outcome = sync(state, twins(t=newer))
    assert plain(outcome.changed["t"].expected_version) == {"cloud": 7, "edge": 1}
    assert plain(outcome.changed["t"].actual)["value"] == "1"
    state |= outcome.changed
    for version in ({"cloud": 6, "edge": 1}, {"cloud": 8, "edge": 0}, None):
        older = {**newer, "expected_version": version}
        refused = sync(state, twins(t=older))
        assert not refused.changed
        assert plain(refused.refused["t"].expected)["value"] == "2"


def test_a_sync_without_metadata_does_no_harm() -> None:
    outcome = sync({}, twins(t={"expected": {"value": "2"}, "expected_version": {"cloud": 1, "edge": 0}}))
    assert outcome.changed["t"].type == "string"

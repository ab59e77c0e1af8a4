"""In which fields two objects differ. Not covered: whose they are then (managed fields)."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.edgesite.apiserver.comparing import Comparison
from edgelab.edgesite.apiserver.schema import Node

ANYTHING = Node({"type": "object"})
KEYED = Node(
    {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
            }
        },
    }
)


def compared(old: Any, new: Any, node: Node = ANYTHING) -> tuple[Any, Any, Any]:
    found = Comparison({"spec": old}, {"spec": new}, node, ANYTHING)
    return found.added, found.removed, found.modified


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1.0}}),
        ({"a": {"b": 0.0}}, {"a": {"b": -0.0}}),
        ({"a": {"b": 1, "c": [True]}}, {"a": {"c": [True], "b": 1}}),
    ],
)
def test_the_same_value_in_other_words_is_no_difference(old: Any, new: Any) -> None:
    assert compared(old, new) == ({}, {}, {})


@pytest.mark.parametrize(("old", "new"), [(1, True), (True, 1), (0, False), (False, 0.0)])
def test_a_number_is_not_a_truth_however_deep_it_lies(old: Any, new: Any) -> None:
    assert compared({"a": {"b": old}}, {"a": {"b": new}}) == ({}, {}, {"f:spec": {"f:a": {"f:b": {}}}})
    found = compared({"a": [{"b": old}]}, {"a": [{"b": new}]})
    assert found == ({}, {}, {"f:spec": {"f:a": {}}})


def test_only_the_element_that_differs_is_named() -> None:
    old = [{"name": "x", "on": 1}, {"name": "y", "on": 1}]
    new = [{"name": "y", "on": 1}, {"name": "x", "on": True}, {"name": "z"}]
    found = Comparison({"items": old}, {"items": new}, KEYED, ANYTHING)
    assert found.modified == {"f:items": {'k:{"name":"x"}': {"f:on": {}}}}
    assert found.added == {"f:items": {'k:{"name":"z"}': {".": {}, "f:name": {}}}}
    assert found.removed == {}

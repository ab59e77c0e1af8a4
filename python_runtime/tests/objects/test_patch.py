"""Patches: the examples of RFC 6902 and 7386, and strategic merge as apimachinery does it."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.objects.patch import (
    FieldPatch,
    PatchError,
    PatchSchema,
    json_patch,
    merge_patch,
    strategic_merge_patch,
)
from edgelab.objects.patch.merge import difference


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_difference_is_the_merge_patch_between_two_objects() -> None:
    before, after = {"a": {"x": 1, "y": 2}, "b": [1], "c": 1}, {"a": {"x": 1, "y": 3}, "b": [1, 2]}
    patch = difference(before, after)
    assert patch == {"a": {"y": 3}, "b": [1, 2], "c": None}
    assert merge_patch(before, patch) == after


@pytest.mark.parametrize(
    ("target", "operation", "result"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": 1}, {"foo": "bar", "baz": 1}),
        ({"foo": ["a", "c"]}, {"op": "add", "path": "/foo/1", "value": "b"}, {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, {"op": "add", "path": "/foo/-", "value": ["b"]}, {"foo": ["a", ["b"]]}),
        ({"baz": 1, "foo": 2}, {"op": "remove", "path": "/baz"}, {"foo": 2}),
        ({"foo": [1, 2, 3]}, {"op": "remove", "path": "/foo/1"}, {"foo": [1, 3]}),
        ({"a": {"b": 1}}, {"op": "replace", "path": "/a/b", "value": 2}, {"a": {"b": 2}}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"f": [1, 2, 3]}, {"op": "move", "from": "/f/0", "path": "/f/2"}, {"f": [2, 3, 1]}),
        ({"a": 1}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": 1, "b": 1}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"/": 9, "~1": 10}),
        ({"a": 1}, {"op": "replace", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"op": "copy", "from": "/none", "path": "/b"}, {"a": 1, "b": None}),
        ({"a": 1}, {"op": "add", "path": "/b"}, {"a": 1, "b": None}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/-1"}, {"a": [1]}),
    ],
)
def test_json_patch_follows_rfc_6902_and_the_library_of_kube_apiserver(
    target: Any, operation: Any, result: Any
) -> None:
    before = repr(target)
    assert json_patch(target, [operation]) == result
    assert repr(target) == before


@pytest.mark.parametrize(
    ("operation", "malformed"),
    [
        ({"op": "test", "path": "/a", "value": True}, False),
        ({"op": "remove", "path": "/none"}, False),
        ({"op": "add", "path": "/none/x", "value": 1}, False),
        ({"op": "add", "path": "/list/7", "value": 1}, False),
        ({"op": "add", "path": "/list/x", "value": 1}, False),
        ({"op": "replace", "path": "", "value": {"b": 2}}, False),
        ({"op": "move", "from": "/list", "path": "/list/0"}, False),
        ({"op": "twist", "path": "/a"}, False),
        ({"op": "add", "path": "a", "value": 1}, False),
        ("add", True),
    ],
)
def test_json_patch_tells_what_does_not_fit_from_what_is_no_patch(operation: Any, malformed: bool) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"a": 1, "list": [1]}, [operation])
    assert caught.value.malformed is malformed


class Schema:
    """items: list merged by name, with ports merged by port; tags: merged set; plain: replaced."""

    def __init__(self, fields: dict[str, FieldPatch]) -> None:
        self.fields = fields

    def patch_field(self, name: str) -> FieldPatch | None:
        return self.fields.get(name)


MERGE = frozenset({"merge"})
PORT: PatchSchema = Schema({})
ITEM: PatchSchema = Schema({"ports": FieldPatch(MERGE, "port", PORT)})
STRATEGY: PatchSchema = Schema({})
ROOT: PatchSchema = Schema(
    {
        "items": FieldPatch(MERGE, "name", ITEM),
        "tags": FieldPatch(MERGE, "", None),
        "whole": FieldPatch(frozenset({"replace"}), "", None),
        "strategy": FieldPatch(frozenset({"retainKeys"}), "", STRATEGY),
        "nested": FieldPatch(frozenset(), "", Schema({"items": FieldPatch(MERGE, "name", ITEM)})),
    }
)


def names(obj: dict[str, Any]) -> list[str]:
    return [item["name"] for item in obj["items"]]


def test_lists_are_merged_by_key_and_new_items_come_first() -> None:
    live = {"items": [{"name": "Ready", "v": 1}]}
    merged = strategic_merge_patch(live, {"items": [{"name": "Disk", "v": 2}]}, ROOT)
    assert names(merged) == ["Disk", "Ready"]
    merged = strategic_merge_patch(merged, {"items": [{"name": "Ready", "w": 3}]}, ROOT)
    assert merged["items"] == [{"name": "Disk", "v": 2}, {"name": "Ready", "v": 1, "w": 3}]
    assert live == {"items": [{"name": "Ready", "v": 1}]}


def test_nested_lists_use_their_own_keys() -> None:
    live = {"nested": {"items": [{"name": "a", "ports": [{"port": 1, "x": 1}]}]}}
    patch = {"nested": {"items": [{"name": "a", "ports": [{"port": 2}, {"port": 1, "y": 2}]}]}}
    merged = strategic_merge_patch(live, patch, ROOT)
    assert merged["nested"]["items"][0]["ports"] == [{"port": 2}, {"port": 1, "x": 1, "y": 2}]


def test_directives_delete_and_replace_elements_maps_and_lists() -> None:
    live = {"items": [{"name": "a"}, {"name": "b"}], "m": {"x": 1, "y": 2}}
    merged = strategic_merge_patch(live, {"items": [{"name": "a", "$patch": "delete"}]}, ROOT)
    assert names(merged) == ["b"]
    merged = strategic_merge_patch(live, {"items": [{"$patch": "replace"}, {"name": "z"}]}, ROOT)
    assert names(merged) == ["z"]
    assert strategic_merge_patch(live, {"m": {"$patch": "replace", "z": 3}}, ROOT)["m"] == {"z": 3}
    assert strategic_merge_patch(live, {"m": {"$patch": "delete"}}, ROOT)["m"] == {}


def test_directives_in_a_new_field_do_not_end_up_in_the_object() -> None:
    patch = {
        "items": [{"name": "a", "$patch": "delete"}, {"name": "b", "x": None}],
        "m": {"$retainKeys": ["a"], "a": 1},
    }
    assert strategic_merge_patch({}, patch, ROOT) == {"items": [{"name": "b"}], "m": {"a": 1}}


def test_primitive_lists_are_sets_and_lose_what_a_directive_names() -> None:
    live = {"tags": ["a", "b"]}
    assert sorted(strategic_merge_patch(live, {"tags": ["c", "a"]}, ROOT)["tags"]) == ["a", "b", "c"]
    assert strategic_merge_patch(live, {"$deleteFromPrimitiveList/tags": ["a"]}, ROOT) == {"tags": ["b"]}


def test_set_element_order_arranges_and_keeps_the_servers_items_in_place() -> None:
    live = {"items": [{"name": "a"}, {"name": "server"}, {"name": "b"}]}
    patch = {
        "$setElementOrder/items": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
        "items": [{"name": "c"}],
    }
    merged = names(strategic_merge_patch(live, patch, ROOT))
    assert [name for name in merged if name != "server"] == ["b", "c", "a"]
    assert set(merged) == {"a", "b", "c", "server"}
    with pytest.raises(PatchError, match="order"):
        strategic_merge_patch(
            live, {"$setElementOrder/items": [{"name": "b"}], "items": [{"name": "c"}]}, ROOT
        )


def test_retain_keys_clears_what_is_not_listed() -> None:
    live = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic_merge_patch(live, patch, ROOT) == {"strategy": {"type": "Recreate"}}


def test_replace_strategy_and_null_and_unknown_fields() -> None:
    live = {"whole": {"a": 1}, "gone": 1, "plain": [1, 2], "deep": {"a": {"b": 1}}}
    patch = {"whole": {"b": 2}, "gone": None, "plain": [3], "deep": {"a": {"c": 2}}}
    assert strategic_merge_patch(live, patch, ROOT) == {
        "whole": {"b": 2},
        "plain": [3],
        "deep": {"a": {"b": 1, "c": 2}},
    }


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(PatchError, match="merge key"):
        strategic_merge_patch({"items": []}, {"items": [{"x": 1}]}, ROOT)

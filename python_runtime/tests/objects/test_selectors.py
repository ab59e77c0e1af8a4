"""Label and field selectors."""

from __future__ import annotations

import pytest

from edgelab.objects.selectors import (
    SelectorError,
    field_value,
    format_labels,
    from_labels,
    from_object,
    parse_fields,
    parse_labels,
)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("a=1", {"a": "1"}, True),
        ("a==1,b!=x", {"a": "1"}, True),
        ("a=1", {"a": "2"}, False),
        ("b,b!=y", {"b": "y"}, False),
        ("b in (y, z)", {"b": "z"}, True),
        ("b in (y,z)", {}, False),
        ("b notin (y)", {}, True),
        ("!b,a", {"a": ""}, True),
        ("!b", {"b": ""}, False),
        ("a=", {"a": ""}, True),
        ("kubernetes.io/os in (linux)", {"kubernetes.io/os": "linux"}, True),
        ("n>3", {"n": "4"}, True),
        ("n<3", {"n": "x"}, False),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_labels(selector).matches(labels) is matches


@pytest.mark.parametrize("selector", ["a===(", "a in", "a in (b", "=a", "a=b c", "a,,b", "a,", "a=-", "§"])
def test_unreadable_label_selectors_are_refused(selector: str) -> None:
    with pytest.raises(SelectorError):
        parse_labels(selector)


def test_selector_objects_and_plain_maps() -> None:
    selector = {
        "matchLabels": {"a": "1"},
        "matchExpressions": [
            {"key": "b", "operator": "NotIn", "values": ["x"]},
            {"key": "c", "operator": "Exists"},
        ],
    }
    assert from_object(selector).matches({"a": "1", "c": ""})
    assert not from_object(selector).matches({"a": "1"})
    assert from_object({}).matches({})
    assert not from_object(None).matches({})
    assert not from_labels({}).matches({})
    assert from_labels({"a": "1"}).matches({"a": "1", "b": "2"})
    assert format_labels(selector) == "a=1,b notin (x),c"


def test_field_selectors_compare_text_and_know_escapes() -> None:
    obj = {"metadata": {"name": "x"}, "spec": {"unschedulable": True}, "status": {}}
    assert parse_fields("metadata.name=x,status.phase!=Running").matches(lambda path: field_value(obj, path))
    assert parse_fields("spec.unschedulable=true,spec.nodeName=").matches(lambda path: field_value(obj, path))
    assert parse_fields(r"a=b\,c\=d").exact("a") == "b,c=d"
    with pytest.raises(SelectorError):
        parse_fields("nonsense")

"""What the code takes for granted of the served types, because it is faster so."""

from __future__ import annotations

from collections.abc import Iterator

from tests.edgesite.apiserver.running import types

from edgelab.edgesite.apiserver.encoding import settle
from edgelab.edgesite.apiserver.schema import Node


def _below(node: Node) -> Iterator[Node]:
    yield node
    for inner in (*map(node.field, node.field_names), node.items, node.values):
        if inner is not None:
            yield from _below(inner)


def test_nothing_in_metadata_is_always_there() -> None:
    assert not any(node.encoding.always for node in _below(types().object_meta))


def test_empty_lists_that_are_always_there_become_null() -> None:
    pod = types().kind("", "v1", "Pod")
    assert pod is not None
    value = {"metadata": {"finalizers": []}, "spec": {"containers": [], "volumes": []}}
    settle(value, pod)
    assert value == {"metadata": {"finalizers": []}, "spec": {"containers": None, "volumes": []}}


def test_texts_are_kept_as_they_are_unless_they_are_parsed() -> None:
    def verbatim(kind: str, *way: str) -> type | None:
        node = types().kind("", "v1", kind)
        for name in way:
            assert node is not None
            node = node.field(name) or node.items or node.values
        assert node is not None
        return node.verbatim

    assert verbatim("Pod", "spec", "nodeName") is str
    assert verbatim("Pod", "spec", "hostNetwork") is bool
    assert verbatim("Pod", "metadata", "labels", "a") is str
    assert verbatim("Pod", "metadata", "creationTimestamp") is None  # a time
    assert verbatim("Node", "status", "capacity", "cpu") is None  # a quantity
    assert verbatim("Service", "spec", "ports", "[]", "targetPort") is None  # a number or a text
    assert verbatim("Secret", "data", "a") is None  # base64
    assert verbatim("Pod", "spec") is None

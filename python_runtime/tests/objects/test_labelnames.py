"""What label keys must look like; those that are right are remembered if they are short."""

from __future__ import annotations

import pytest

from edgelab.objects.labelnames import SHORT, label_value, qualified

LABEL = "a" * 63


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "A.b-c_9",
        "example.com/a",
        "node.alpha.kubernetes.io/ttl",
        LABEL,
        f"a.b/{LABEL}",
        f"{'a.' * 125}a/{LABEL}",
    ],
)
def test_keys_that_are_right(key: str) -> None:
    assert qualified(key) == [] == qualified(key)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "name part must be non-empty"),
        ("a/", "name part must be non-empty"),
        ("/a", "prefix part must be non-empty"),
        ("-a", "name part must consist of"),
        ("a\n", "name part must consist of"),
        ("é", "name part must consist of"),
        ("A.b/a", "prefix part a lowercase RFC 1123 subdomain must consist of"),
        ("a..b/a", "prefix part a lowercase RFC 1123 subdomain must consist of"),
        ("a/b/c", "a valid label key must consist of"),
        (f"{LABEL}a", "name part must be no more than 63 bytes"),
        (f"a.b/{LABEL}a", "name part must be no more than 63 bytes"),
        (f"{'a.' * 126}aa/a", "prefix part must be no more than 253 bytes"),
    ],
)
def test_keys_that_are_wrong(key: str, problem: str) -> None:
    for _ in range(2):
        assert qualified(key)[0].startswith(problem)


def test_values_may_be_empty_and_are_short() -> None:
    assert label_value("") == label_value(LABEL) == []
    assert label_value(f"{LABEL}a") == ["must be no more than 63 bytes"]
    assert len(f"{'a.' * 126}aa/a") > SHORT > len(f"a.b/{LABEL}a")

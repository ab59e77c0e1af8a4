"""What label keys and values must look like (apimachinery `pkg/util/validation`)."""

from __future__ import annotations

import re
from functools import lru_cache

KNOWN, SHORT = 1024, 128
"""So many keys of so many characters are known to be right: a cluster has the same few on all objects."""

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

is_subdomain = re.compile(SUBDOMAIN).fullmatch
_qualified = re.compile(QUALIFIED).fullmatch


def described(text: str, pattern: str, *examples: str) -> str:
    """A complaint with the pattern that is wanted, and examples of it."""
    shown = " or ".join(f"'{example}', " for example in examples)
    given = f"e.g. {shown}" if examples else ""
    return f"{text} ({given}regex used for validation is '{pattern}')"


def too_long(value: str, limit: int, unit: str = "characters") -> list[str]:
    """Complain about too many bytes."""
    return [f"must be no more than {limit} {unit}"] if len(value.encode()) > limit else []


def subdomain(name: str, unit: str = "characters") -> list[str]:
    """What is wrong with a DNS-1123 subdomain."""
    if is_subdomain(name) and len(name) <= 253:
        return []
    problems = too_long(name, 253, unit)
    if not is_subdomain(name):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
            " and must start and end with an alphanumeric character"
        )
        problems.append(described(text, SUBDOMAIN, "example.com"))
    return problems


@lru_cache(maxsize=KNOWN)
def _is_qualified(name: str) -> bool:
    prefix, slash, rest = name.rpartition("/")
    return bool((not slash or is_subdomain(prefix)) and _qualified(rest) and len(rest) <= 63)


def qualified(name: str) -> list[str]:
    """What is wrong with a label key: `[prefix/]name`."""
    if len(name) <= SHORT and _is_qualified(name):
        return []
    text = (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
        " an alphanumeric character"
    )
    wanted = described(text, QUALIFIED, "MyName", "my.name", "123-abc")
    prefix, slash, rest = name.partition("/")
    if "/" in rest:
        tail = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {wanted}{tail}"]
    rest = rest if slash else prefix
    problems = []
    if slash:
        found = subdomain(prefix, "bytes") if prefix else ["must be non-empty"]
        problems += [f"prefix part {item}" for item in found]
    if not rest:
        problems.append("name part must be non-empty")
    elif len(rest.encode()) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _qualified(rest):
        problems.append(f"name part {wanted}")
    return problems


def label_value(value: str) -> list[str]:
    """What is wrong with a label's value."""
    if not value or (_qualified(value) and len(value) <= 63):
        return []
    problems = too_long(value, 63, "bytes")
    if not _qualified(value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
            " and must start and end with an alphanumeric character"
        )
        problems.append(described(text, f"({QUALIFIED})?", "MyValue", "my_value", "12345"))
    return problems

"""What single values of the configuration files must look like; each check names its field."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from edgelab.objects import labelnames, quantity
from edgelab.settings.document import Problem
from edgelab.settings.durations import seconds

PERCENTAGE = re.compile(r"\d+(\.\d+)?%")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

Test = Callable[[Any], bool]


def every(where: str, settings: Any, names: Iterable[str], test: Test, expected: str) -> Iterator[Problem]:
    """A problem for each of the fields `names` of `settings` that fails the test."""
    for name in names:
        value = getattr(settings, name)
        if not test(value):
            yield Problem(f"{where}.{name}", f"{value!r}: expected {expected}")


def one_of(where: str, settings: Any, choices: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """A problem for each field whose value is none of its choices."""
    for name, values in choices.items():
        value = getattr(settings, name)
        if value not in values:
            listed = ", ".join(choice or '""' for choice in values)
            yield Problem(f"{where}.{name}", f"{value!r}: expected one of {listed}")


def each(where: str, values: Iterable[tuple[Any, Any]], test: Test, expected: str) -> Iterator[Problem]:
    """A problem for each entry (its key or number, its value) that fails the test."""
    for key, value in values:
        if not test(value):
            name = f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}"
            yield Problem(name, f"{value!r}: expected {expected}")


def at_least(least: int) -> Test:
    """A number from `least` on."""
    return lambda value: value >= least


def within(low: float, high: float) -> Test:
    """A number between two others, both included."""
    return lambda value: low <= value <= high


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """An address range in CIDR notation, or several with commas between."""
    try:
        return all(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError:
        return False


def is_endpoint(text: str) -> bool:
    """`HOST:PORT`, an IPv6 address in brackets."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        return False
    return ":" not in host or (host.startswith("[") and host.endswith("]") and is_ip(host[1:-1]))


def is_absolute(text: str) -> bool:
    """A path from the root."""
    return text.startswith("/")


def is_socket(text: str) -> bool:
    """A unix socket as the kubelet takes it: with or without its scheme."""
    return text.startswith(("unix:///", "/"))


def is_url(*schemes: str) -> Test:
    """A URL of one of the schemes, with a host and, when it has a port, one that exists."""

    def test(text: str) -> bool:
        try:
            parts = urlsplit(text)
            return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            return False

    return test


def is_duration(text: str) -> bool:
    """A duration as Go writes it, not negative."""
    try:
        return seconds(text) >= 0
    except ValueError:
        return False


def is_quantity(text: str) -> bool:
    """A Kubernetes quantity that is not negative: `100Mi`, `0.5`, `2G`."""
    try:
        return quantity.parse(text) >= 0
    except ValueError:
        return False


def is_percentage(text: str) -> bool:
    """`0%` to `100%`."""
    return bool(PERCENTAGE.fullmatch(text)) and float(text[:-1]) <= 100


def is_threshold(text: str) -> bool:
    """What an eviction threshold may be: a quantity or a percentage."""
    return is_percentage(text) or is_quantity(text)


def is_label_key(text: str) -> bool:
    """A qualified name: `name` or `prefix.example/name`."""
    return not labelnames.qualified(text)


def is_label_value(text: str) -> bool:
    """Up to 63 letters, digits, `-`, `_` and `.`, or nothing."""
    return not labelnames.label_value(text)

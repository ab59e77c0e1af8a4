"""Checks that many kinds share (`pkg/apis/core/validation`, apimachinery's `pkg/util/validation`)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from edgelab.edgesite.apiserver import layouts, names
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    immutable,
    required,
    too_long,
    unsupported,
)
from edgelab.objects.patch.json import same

Obj = dict[str, Any]

NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
PORT_RANGE = "must be between 1 and 65535, inclusive"
ID_RANGE = "must be between 0 and 2147483647, inclusive"
PROTOCOLS = ["SCTP", "TCP", "UDP"]
MAX_INT32 = 2**31 - 1
MAX_ANNOTATIONS = 256 << 10
IPv4Or6 = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def texts(check: Callable[[str], list[str]], value: str, path: str) -> list[Cause]:
    """What a check of `names` says, as causes."""
    return [bad(path, value, text) for text in check(value)]


def label_name(key: str, path: str) -> list[Cause]:
    """A label's key."""
    return [bad(path, key, text) for text in names.qualified(key)]


def dns_label(value: str, path: str) -> list[Cause]:
    """A DNS-1123 label."""
    return [bad(path, value, text) for text in names.label(value)]


def dns_subdomain(value: str, path: str) -> list[Cause]:
    """A DNS-1123 subdomain."""
    return [bad(path, value, text) for text in names.subdomain(value)]


def labels(found: Obj | None, path: str) -> list[Cause]:
    """Labels, or a selector of equal ones."""
    causes: list[Cause] = []
    for key, value in (found or {}).items():
        causes += [bad(path, key, text) for text in names.qualified(key)]
        causes += [bad(path, value, text) for text in names.label_value(value)]
    return causes


def annotation_map(found: Obj | None, path: str) -> list[Cause]:
    """Keys and size of annotations."""
    found = found or {}
    causes = [bad(path, key, text) for key in found for text in names.qualified(key.lower())]
    if sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) > MAX_ANNOTATIONS:
        causes.append(too_long(path, MAX_ANNOTATIONS))
    return causes


def label_selector(selector: Obj | None, path: str) -> list[Cause]:
    """metav1.LabelSelector."""
    if selector is None:
        return []
    causes = labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for position, item in enumerate(selector.get("matchExpressions") or ()):
        field, values = f"{path}.matchExpressions[{position}]", item.get("values") or []
        causes += _operator(item.get("operator") or "", values, field)
        causes += label_name(item.get("key") or "", f"{field}.key")
        for number, value in enumerate(values):
            causes += [bad(f"{field}.values[{number}]", value, text) for text in names.label_value(value)]
    return causes


def _operator(operator: str, values: list[str], field: str) -> list[Cause]:
    if operator in ("In", "NotIn"):
        text = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if values else [required(f"{field}.values", text)]
    if operator in ("Exists", "DoesNotExist"):
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{field}.values", text)] if values else []
    return [bad(f"{field}.operator", operator, "not a valid selector operator")]


def shown_selector(selector: Obj | None) -> Any:
    """A selector as Go shows it."""
    return layouts.shown("*metav1.LabelSelector", selector)


def convertible(selector: Obj | None) -> bool:
    """Whether `metav1.LabelSelectorAsSelector` takes it."""
    for item in (selector or {}).get("matchExpressions") or ():
        operator, values = item.get("operator") or "", item.get("values") or []
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            return False
        if bool(values) != (operator in ("In", "NotIn")) or names.qualified(item.get("key") or ""):
            return False
        if any(names.label_value(value) for value in values):
            return False
    pairs = ((selector or {}).get("matchLabels") or {}).items()
    return not any(names.qualified(key) or names.label_value(value) for key, value in pairs)


def nonnegative(value: Any, path: str) -> list[Cause]:
    """A number that may be zero; None is zero."""
    return [bad(path, value, NEGATIVE)] if value is not None and value < 0 else []


def positive(value: int | None, path: str) -> list[Cause]:
    """A number that may not be zero."""
    return [bad(path, value or 0, NOT_POSITIVE)] if (value or 0) <= 0 else []


def port_number(value: int, path: str) -> list[Cause]:
    """1 to 65535."""
    return [] if 1 <= value <= 65535 else [bad(path, value, PORT_RANGE)]


def port_number_or_name(value: int | str | None, path: str) -> list[Cause]:
    """What a probe or a target port may be."""
    if isinstance(value, str):
        return texts(names.port_name, value, path)
    return port_number(value or 0, path)


def user_or_group(value: int | None, path: str) -> list[Cause]:
    """A numeric user or group."""
    return [] if value is None or 0 <= value <= MAX_INT32 else [bad(path, value, ID_RANGE)]


def choice(value: Any, path: str, allowed: Iterable[str], *, needed: bool = True) -> list[Cause]:
    """One of several words."""
    if not value and needed:
        return [required(path)]
    return [] if value in allowed else [unsupported(path, value, list(allowed))]


def int_or_percent(value: int | str, path: str) -> list[Cause]:
    """`3` or `25%`."""
    if isinstance(value, str):
        return texts(names.percent, value, path)
    return nonnegative(value, path)


def percentage(value: Any) -> int | None:
    """The number of a percentage."""
    return int(value[:-1]) if isinstance(value, str) and re.fullmatch("[0-9]+%", value) else None


def amount(value: Any) -> int:
    """The number in an integer or a percentage; 0 for what is neither."""
    number = percentage(value)
    if number is not None:
        return number
    if isinstance(value, str):
        return int(value) if re.fullmatch("[+-]?[0-9]+", value) else 0
    return int(value or 0)


def at_most_all(value: Any, path: str) -> list[Cause]:
    """No percentage over 100."""
    return [bad(path, value, "must not be greater than 100%")] if (percentage(value) or 0) > 100 else []


def semantic(left: Any, right: Any) -> bool:
    """Equality as `apiequality.Semantic` has it: an empty list is no list."""
    if isinstance(left, dict) and isinstance(right, dict):
        keys = {*left, *right}
        return all(semantic(left.get(key), right.get(key)) for key in keys)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(semantic, left, right))
    if left is None or right is None:
        return (left is None or left == []) and (right is None or right == [])
    return same(left, right)


def unchanged(new: Any, old: Any, path: str, kind: str = "") -> list[Cause]:
    """A field that is immutable; `kind` is its internal type, if it is a struct."""
    if semantic(new, old):
        return []
    return [immutable(path, layouts.shown(kind, new) if kind else new)]


def no_backsteps(path_value: str, path: str) -> list[Cause]:
    """No `..` in a path."""
    return [bad(path, path_value, "must not contain '..'")] if ".." in path_value.split("/") else []


def descending(path_value: str, path: str) -> list[Cause]:
    """A path that stays below where it begins."""
    causes = [bad(path, path_value, "must be a relative path")] if path_value.startswith("/") else []
    return causes + no_backsteps(path_value, path)


def local_path(path_value: str, path: str) -> list[Cause]:
    """A path for a file in a volume."""
    causes = descending(path_value, path)
    if path_value.startswith("..") and not path_value.startswith("../"):
        causes.append(bad(path, path_value, "must not start with '..'"))
    return causes


def parse_ip(value: str) -> IPv4Or6 | None:
    """An address as Go's lenient parser reads it: leading zeros are decimal."""
    if re.fullmatch(r"\d+(\.\d+){3}", value):
        value = ".".join(str(int(part)) for part in value.split("."))
    if "%" in value:
        return None
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def parse_cidr(value: str) -> tuple[IPv4Or6, Network] | None:
    """Address and network of a CIDR."""
    address, slash, length = value.partition("/")
    found = parse_ip(address)
    if (
        found is None
        or not slash
        or not re.fullmatch(r"\d{1,3}", length)
        or int(length) > found.max_prefixlen
    ):
        return None
    return found, ipaddress.ip_network((found, int(length)), strict=False)


def ip(value: str, path: str) -> list[Cause]:
    """An IP address in a field of old."""
    text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return [bad(path, value, text)] if parse_ip(value) is None else []


def canonical_ip(value: str, path: str) -> list[Cause]:
    """An IP address in a newer field: in canonical form only."""
    found = parse_ip(value)
    if found is None:
        return ip(value, path)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return [bad(path, value, "must not be an IPv4-mapped IPv6 address")]
    if re.search(r"(^|\.)0\d", value) and found.version == 4:
        return [bad(path, value, "must not have leading 0s")]
    return [] if str(found) == value else [bad(path, value, f'must be in canonical form ("{found}")')]


def cidr(value: str, path: str) -> list[Cause]:
    """A network in a field of old."""
    text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    return [bad(path, value, text)] if parse_cidr(value) is None else []


def endpoint_ip(value: str, path: str) -> list[Cause]:
    """An address that traffic can be sent to."""
    found = parse_ip(value)
    if found is None:
        return [bad(path, value, "must be a valid IP address")]
    causes = []
    if found.is_unspecified:
        causes.append(bad(path, value, f"may not be unspecified ({value})"))
    if found.is_loopback:
        causes.append(bad(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if found.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        causes.append(bad(path, value, text))
    if str(found).startswith(("224.0.0.", "ff02:")):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        causes.append(bad(path, value, text))
    return causes


def domain_prefixed_path(value: str, path: str) -> list[Cause]:
    """`acme.io/foo`."""
    if not value:
        return [required(path)]
    host, slash, rest = value.partition("/")
    if not slash or not host or not rest:
        return [bad(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    causes = dns_subdomain(host, path)
    if not re.fullmatch(names.HTTP_PATH, rest):
        text = f"Invalid path (regex used for validation is '{names.HTTP_PATH}')"
        causes.append(bad(path, rest, text))
    return causes


def csi_driver_name(value: str, path: str) -> list[Cause]:
    """The name of a CSI driver."""
    if not value:
        return [required(path)]
    causes = [too_long(path, 63)] if len(value.encode()) > 63 else []
    return causes + [bad(path, value, text) for text in names.subdomain(value.lower())]


def unique(values: Iterable[Any], path: str) -> list[Cause]:
    """Items of a list, each once."""
    seen: set[Any] = set()
    causes = []
    for position, value in enumerate(values):
        if value in seen:
            causes.append(duplicate(f"{path}[{position}]", value))
        seen.add(value)
    return causes


def canonical_cidr(value: str, path: str) -> list[Cause]:
    """A network in a newer field: in canonical form only."""
    found = parse_cidr(value)
    if found is None:
        return cidr(value, path)
    if isinstance(found[0], ipaddress.IPv6Address) and found[0].ipv4_mapped:
        return [bad(path, value, "must not have an IPv4-mapped IPv6 address")]
    if (re.search(r"(^|[./])0\d", value) and found[0].version == 4) or re.search(r"/0\d", value):
        return [bad(path, value, "must not have leading 0s in IP or prefix length")]
    if found[0] != found[1].network_address:
        return [bad(path, value, "must not have bits set beyond the prefix length")]
    if str(found[1]) != value:
        return [bad(path, value, f'must be in canonical form ("{found[1]}")')]
    return []

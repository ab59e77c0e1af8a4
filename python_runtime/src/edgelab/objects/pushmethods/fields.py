"""Reading the fields of methods. What is wrong is a LayoutError that names the field and repeats no login."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from edgelab.objects.deviceversions.fields import LayoutError, Obj, text, whole
from edgelab.objects.pushmethods.methods import Login

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_LOGIN = r"(?:([^\s/@?#:]*)(?::([^\s/@?#]*))?@)?"
_URL = re.compile(
    rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://{_LOGIN}{_HOST}(?::(\d{{1,5}}))?(/[^\s?#]*)?(\?[^\s#]*)?"
)
_ADDRESS = re.compile(rf"{_HOST}(?::(\d{{1,5}}))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Url(NamedTuple):
    """The parts of a URL; `port` is 0 and `path` empty when they are not there."""

    scheme: str
    login: Login | None
    host: str
    port: int
    path: str
    query: str

    def plain(self, path: str) -> str:
        """Without login, and with another path."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{path}{self.query}"


def url(obj: Obj, key: str, where: str, expected: str, schemes: tuple[str, ...]) -> Url:
    """A URL below `key`. Raises LayoutError saying what was `expected`."""
    found = _URL.fullmatch(needed(obj, key, where, f"is empty: expected {expected}"))
    if found is None or found[1].lower() not in schemes:
        raise LayoutError(f"{where}.{key}: expected {expected}")
    scheme, user, password, host, digits, path, query = found.groups()
    if not _is_host(host):
        raise LayoutError(f"{where}.{key}: {host} is no address of IPv6")
    login = Login(user, password or "") if user else None
    port = _in_range(digits, f"{where}.{key}") if digits else 0
    return Url(scheme.lower(), login, host, port, path or "", query or "")


def address(obj: Obj, key: str, where: str, default: int) -> tuple[str, int]:
    """Host and port below `key`. Raises LayoutError."""
    found = _ADDRESS.fullmatch(needed(obj, key, where, "is empty: expected host:port"))
    if found is None or not _is_host(found[1]):
        raise LayoutError(f"{where}.{key}: expected host:port")
    host, digits = found.groups()
    return host.strip("[]"), _in_range(digits, f"{where}.{key}") if digits else default


def port(obj: Obj, key: str, where: str) -> int:
    """A port below `key`. Raises LayoutError."""
    found = whole(obj, key, where) or 0
    if not 1 <= found <= 65535:
        raise LayoutError(f"{where}.{key}: {found} is no port from 1 to 65535")
    return found


def needed(obj: Obj, key: str, where: str, why: str = "is empty") -> str:
    """A text below `key` with at least one character and on one line. Raises LayoutError."""
    found = text(obj, key, where)
    if not found:
        raise LayoutError(f"{where}.{key}: {why}")
    if _CONTROL.search(found):
        raise LayoutError(f"{where}.{key}: has a control character")
    return found


def between(obj: Obj, key: str, where: str, low: int, high: int) -> int:
    """A whole number below `key`, 0 without one. Raises LayoutError."""
    found = whole(obj, key, where) or 0
    if not low <= found <= high:
        raise LayoutError(f"{where}.{key}: {found} is not from {low} to {high}")
    return found


def _is_host(host: str) -> bool:
    """False for what stands in brackets and is no IPv6 address."""
    if not host.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def _in_range(digits: str, where: str) -> int:
    found = int(digits)
    if not 1 <= found <= 65535:
        raise LayoutError(f"{where}: {found} is no port from 1 to 65535")
    return found

"""Formats of strings in CRD schemas (`kube-openapi/pkg/validation/strfmt`, `govalidator`)."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import ipaddress
import re
from collections.abc import Callable
from email.utils import parseaddr
from urllib.parse import urlsplit

HEX = "[0-9a-f]"
WORD = r"a-zA-Z0-9"
HOSTNAME = (
    rf"([{WORD}]((-?[{WORD}]{{0,62}})?)|([{WORD}](([{WORD}\-]{{0,61}}[{WORD}])?)(\.))"
    r"{1,}([a-zA-Z]){2,63})"
)
UUIDS = {
    "uuid": f"{HEX}{{8}}-?{HEX}{{4}}-?{HEX}{{4}}-?{HEX}{{4}}-?{HEX}{{12}}",
    "uuid3": f"{HEX}{{8}}-?{HEX}{{4}}-?3{HEX}{{3}}-?{HEX}{{4}}-?{HEX}{{12}}",
    "uuid4": f"{HEX}{{8}}-?{HEX}{{4}}-?4{HEX}{{3}}-?[89ab]{HEX}{{3}}-?{HEX}{{12}}",
    "uuid5": f"{HEX}{{8}}-?{HEX}{{4}}-?5{HEX}{{3}}-?[89ab]{HEX}{{3}}-?{HEX}{{12}}",
}
CARD = (
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)"
    r"[0-9]{12}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|(?:2131|1800|35\d{3})\d{11}|6[27][0-9]{14})"
)
COLOUR = r"(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
PATTERNS = {
    **{name: f"(?i){pattern}" for name, pattern in UUIDS.items()},
    "bsonobjectid": "(?i)[0-9a-f]{24}",
    "hexcolor": "#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})",
    "k8slongname": r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    "k8sshortname": "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "mac": "(?i)([0-9a-f]{2}([:-])(?:[0-9a-f]{2}\\2){4}(?:[0-9a-f]{2}\\2){0,14}[0-9a-f]{2}"
    "|[0-9a-f]{4}(\\.[0-9a-f]{4}){2,})",
    "rgbcolor": rf"rgb\(\s*{COLOUR}\s*,\s*{COLOUR}\s*,\s*{COLOUR}\s*\)",
    "ssn": r"\d{3}[- ]?\d{2}[- ]?\d{4}",
}
_UNITS = (
    "ns nano nanosec nanosecond nanoseconds us µs micro micros microsecond microseconds ms milli millis"
    " millisecond milliseconds s sec secs second seconds m min mins minute minutes h hr hour hours"
    " d day days w wk week weeks"
)
UNITS = _UNITS.split()
SEPARATOR = re.compile("[ -]+")


def _date_time(text: str) -> bool:
    day, separator, time = text[:10], text[10:11], text[11:]
    if not _date(day) or separator.lower() != "t":
        return False
    found = re.fullmatch(
        r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))", time.lower()
    )
    return found is not None and int(found[1]) < 24 and int(found[2]) < 60 and int(found[3]) < 60


def _date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _duration(text: str) -> bool:
    go = r"[+-]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|[+-]?0"
    if re.fullmatch(go, text):
        return True
    found = re.findall(r"\d+\s*([A-Za-zµ]+)", text)
    return bool(found) and all(unit.lower() in UNITS for unit in found)


def _without_zeros(text: str) -> str:
    """Octets may have leading zeros."""
    return re.sub(r"(?<![0-9a-fA-F:.])0+(?=[0-9]+\.)|(?<=\.)0+(?=[0-9])", "", text)


def _address(text: str, version: int) -> bool:
    text = _without_zeros(text) if version == 4 else text
    try:
        return ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        return False


def _network(text: str) -> bool:
    try:
        ipaddress.ip_network(_without_zeros(text), strict=False)
    except ValueError:
        return False
    return re.fullmatch(r"[^%/]+/(0|[1-9]\d*)", text) is not None


def _email(text: str) -> bool:
    _, address = parseaddr(text)
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain and " " not in address and ".." not in address)


def _uri(text: str) -> bool:
    """An absolute URI or an absolute path, as net/url.ParseRequestURI reads it."""
    if not text or re.search(r"[\x00-\x20\x7f]", text) or re.search("%(?![0-9a-fA-F]{2})", text):
        return False
    if text.startswith("/"):
        return True
    scheme, colon, rest = text.partition(":")
    if not colon or re.fullmatch("[a-zA-Z][a-zA-Z0-9+.-]*", scheme) is None:
        return False
    try:
        return urlsplit(text).port is not None or bool(rest) or not rest
    except ValueError:
        return False


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _isbn(text: str, length: int) -> bool:
    digits = SEPARATOR.sub("", text)
    if length == 10:
        if re.fullmatch("[0-9]{9}[0-9X]", digits) is None:
            return False
        total = sum((place + 1) * int(digit) for place, digit in enumerate(digits[:9]))
        return (total + 10 * (10 if digits[9] == "X" else int(digits[9]))) % 11 == 0
    if re.fullmatch("[0-9]{13}", digits) is None:
        return False
    total = sum((1, 3)[place % 2] * int(digit) for place, digit in enumerate(digits[:12]))
    return int(digits[12]) - (10 - total % 10) % 10 == 0


def _card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    if re.fullmatch(CARD, digits) is None:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


CHECKS: dict[str, Callable[[str], bool]] = {
    "byte": _base64,
    "cidr": _network,
    "creditcard": _card,
    "date": _date,
    "datetime": _date_time,
    "duration": _duration,
    "email": _email,
    "ipv4": functools.partial(_address, version=4),
    "ipv6": functools.partial(_address, version=6),
    "isbn": lambda text: _isbn(text, 10) or _isbn(text, 13),
    "isbn10": functools.partial(_isbn, length=10),
    "isbn13": functools.partial(_isbn, length=13),
    "password": lambda text: True,
    "uri": _uri,
}
LIMITS = {"k8sshortname": 63, "k8slongname": 253}


def known(name: str) -> bool:
    """Whether a format is checked; others are ignored."""
    name = name.replace("-", "")
    return name in CHECKS or name in PATTERNS or name == "hostname"


def fits(name: str, text: str) -> bool:
    """Whether a string has a format."""
    name = name.replace("-", "")
    if name in CHECKS:
        return CHECKS[name](text)
    if name == "hostname":
        return len(text) <= 255 and re.fullmatch(HOSTNAME, text) is not None
    if len(text) > LIMITS.get(name, len(text)):
        return False
    return re.fullmatch(PATTERNS[name], text) is not None

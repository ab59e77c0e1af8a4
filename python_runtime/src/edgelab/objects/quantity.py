"""resource.Quantity: `1500m`, `128Mi`, `2e3` (apimachinery `pkg/api/resource`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")
KNOWN, SHORT = 1024, 24
"""So many quantities of so many characters are known by their text: a cluster has the same few of them."""

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E))?")
_BINARY = {
    unit: Decimal(1024) ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
}
_DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
}


def _remembering(work: Callable[[str | int | float], T]) -> Callable[[str | int | float], T]:
    known = lru_cache(maxsize=KNOWN)(work)

    @wraps(work)
    def answer(text: str | int | float) -> T:
        return known(text) if isinstance(text, str) and len(text) <= SHORT else work(text)

    return answer


@_remembering
def parse(text: str | int | float) -> Decimal:
    """The value in base units. Raises ValueError."""
    match = _FORM.fullmatch(str(text))
    if match is None:
        raise ValueError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number = Decimal(match[1])
    if match[2]:
        return number.scaleb(int(match[2][1:]))
    suffix = match[3] or ""
    return number * (_BINARY.get(suffix) or _DECIMAL[suffix])


def milli(text: str | int | float) -> int:
    """Thousandths, rounded up: the unit in which CPU is counted."""
    return int((parse(text) * 1000).to_integral_value(ROUND_CEILING))


def whole(text: str | int | float) -> int:
    """Base units, rounded up: the unit in which memory and pods are counted."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


@_remembering
def canonical(text: str | int | float) -> str:
    """The form in which the API server returns it: `0.5` -> `500m`, `1024Ki` -> `1Mi`, `1000m` -> `1`."""
    match = _FORM.fullmatch(str(text))
    value = parse(text)
    if value == 0:
        return "0"
    if match is not None and match[3] in _BINARY and value == value.to_integral_value():
        return _largest(value, {"": Decimal(1), **_BINARY})
    if match is not None and match[2]:
        return _exponent(value)
    scaled = (value / _DECIMAL["n"]).to_integral_value(ROUND_CEILING) * _DECIMAL["n"]
    return _largest(scaled, _DECIMAL)


def _exponent(value: Decimal) -> str:
    for power in (18, 15, 12, 9, 6, 3, 0, -3, -6, -9):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}e{power}" if power else str(int(scaled))
    return str(text_of(value))


def text_of(value: Decimal) -> str:
    """A decimal without an exponent."""
    return format(value.normalize(), "f")


def _largest(value: Decimal, units: dict[str, Decimal]) -> str:
    """The largest unit in which the value is a whole number."""
    for unit, size in sorted(units.items(), key=lambda pair: pair[1], reverse=True):
        amount = value / size
        if amount == amount.to_integral_value():
            return f"{int(amount)}{unit}"
    return text_of(value)

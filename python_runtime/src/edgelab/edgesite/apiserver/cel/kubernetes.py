"""Quantities, semantic versions and named formats (`library/{quantity,semverlib,format}.go`)."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.values import NO_OVERLOAD, NONE, Optional
from edgelab.edgesite.apiserver.custom import formats
from edgelab.edgesite.apiserver.custom.golang import quote
from edgelab.objects import quantity

SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
SMALL = re.compile(r"[mun]$|\.\d*[KMGTPE]i$")
"""Quantities that Go does not keep as an integer, even if they are one."""
Check = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of a resource."""

    amount: Decimal
    whole: bool = field(default=True, compare=False)
    type_name: ClassVar[str] = "kubernetes.Quantity"

    def __str__(self) -> str:
        return quantity.text_of(self.amount)


@dataclass(frozen=True, slots=True)
class Semver:
    """A semantic version; builds do not count."""

    numbers: tuple[int, int, int]
    before: tuple[str, ...] = ()
    type_name: ClassVar[str] = "kubernetes.Semver"


@dataclass(frozen=True, slots=True)
class Format:
    """A named format."""

    name: str
    check: Check
    type_name: ClassVar[str] = "kubernetes.NamedFormat"


def _quantity(text: Any) -> Quantity:
    if not isinstance(text, str):
        raise CelError(NO_OVERLOAD)
    try:
        return Quantity(quantity.parse(text), SMALL.search(text) is None)
    except ValueError as error:
        raise CelError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ) from error


def _is_quantity(text: Any) -> bool:
    try:
        _quantity(text)
    except CelError:
        return False
    return True


def _amount(value: Any) -> Decimal:
    return value.amount if isinstance(value, Quantity) else Decimal(int(value))


def _as_integer(value: Quantity) -> int:
    if not _is_integer(value):
        raise CelError("cannot convert value to integer")
    return int(value.amount)


def _is_integer(value: Quantity) -> bool:
    return (
        value.whole and value.amount == value.amount.to_integral_value() and -(2**63) <= value.amount < 2**63
    )


def _semver(text: Any, normalize: bool = False) -> Semver:
    found = SEMVER.fullmatch(_normalized(text) if normalize else text)
    if found is None:
        raise CelError(_semver_problem(text))
    major, minor, patch, before, _ = found.groups()
    parts = tuple(before.split(".")) if before else ()
    return Semver((int(major), int(minor), int(patch)), parts)


def _semver_problem(text: str) -> str:
    parts = text.split(".", 2)
    if len(parts) != 3:
        return "No Major.Minor.Patch elements found"
    for name, part in zip(("major", "minor", "patch"), parts, strict=True):
        digits = re.match(r"[^-+]*", part)
        number = digits.group() if digits and name == "patch" else part
        if not number.isdecimal():
            word = f"Invalid character(s) found in {name} number"
            return f'{word} "{number}"'
        if len(number) > 1 and number[0] == "0":
            return f'{name.title()} number must not contain leading zeroes "{number}"'
    return f"Invalid Semantic Version: {text}"


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for place, part in enumerate(parts):
        if len(part) > 1:
            short = part.lstrip("0")
            parts[place] = short if short[:1].isdigit() else f"0{short}"
    if len(parts) < 3 and re.search("[+-]", parts[-1]):
        raise CelError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][: max(3, len(parts))])


def _is_semver(text: Any, normalize: bool = False) -> bool:
    try:
        _semver(text, normalize)
    except CelError:
        return False
    return True


def _precedence(left: Semver, right: Semver) -> int:
    if left.numbers != right.numbers:
        return 1 if left.numbers > right.numbers else -1
    if not left.before or not right.before:
        return (not left.before) - (not right.before)
    for mine, theirs in zip(left.before, right.before, strict=False):
        if mine == theirs:
            continue
        if mine.isdecimal() and theirs.isdecimal():
            return 1 if int(mine) > int(theirs) else -1
        if mine.isdecimal() != theirs.isdecimal():
            return -1 if mine.isdecimal() else 1
        return 1 if mine > theirs else -1
    return (len(left.before) > len(right.before)) - (len(left.before) < len(right.before))


def _compare(left: Any, right: Any) -> int:
    if isinstance(left, Semver) and isinstance(right, Semver):
        return _precedence(left, right)
    mine, theirs = left.amount, right.amount
    return int(mine > theirs) - int(mine < theirs)


def _prefix(check: Check) -> Check:
    """The checks of names that something will be appended to."""
    return lambda text: check(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def _fits(name: str, problem: str) -> Check:
    return lambda text: [] if formats.fits(name, text) else [problem]


FORMATS: dict[str, Check] = {
    "byte": _fits("byte", "invalid base64"),
    "date": _fits("date", "invalid date"),
    "datetime": _fits("datetime", "invalid datetime"),
    "dns1035Label": names.service_label,
    "dns1035LabelPrefix": _prefix(names.service_label),
    "dns1123Label": names.label,
    "dns1123LabelPrefix": _prefix(names.label),
    "dns1123Subdomain": names.subdomain,
    "dns1123SubdomainPrefix": _prefix(names.subdomain),
    "labelValue": names.label_value,
    "qualifiedName": names.qualified,
    "uri": lambda text: (
        [] if formats.fits("uri", text) else [f"parse {quote(text)}: invalid URI for request"]
    ),
    "uuid": _fits("uuid", "does not match the UUID format"),
}


def _named(name: str) -> Optional:
    return Optional(True, Format(name, FORMATS[name])) if name in FORMATS else NONE


def _validate(form: Format, text: str) -> Optional:
    problems = form.check(text)
    return Optional(True, problems) if problems else NONE


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda left, right: Quantity(left.amount + _amount(right)),
    "asApproximateFloat": lambda value: float(value.amount),
    "asInteger": _as_integer,
    "compareTo": _compare,
    "format.named": _named,
    "isGreaterThan": lambda left, right: _compare(left, right) > 0,
    "isInteger": _is_integer,
    "isLessThan": lambda left, right: _compare(left, right) < 0,
    "isQuantity": _is_quantity,
    "isSemver": _is_semver,
    "major": lambda value: value.numbers[0],
    "minor": lambda value: value.numbers[1],
    "patch": lambda value: value.numbers[2],
    "quantity": _quantity,
    "semver": _semver,
    "sign": lambda value: (value.amount > 0) - (value.amount < 0),
    "sub": lambda left, right: Quantity(left.amount - _amount(right)),
    "validate": _validate,
    **{f"format.{name}": functools.partial(Format, name, check) for name, check in FORMATS.items()},
}

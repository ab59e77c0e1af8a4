"""Sums of quantities that are printed as Kubernetes prints them.

Fact: apimachinery `resource.Quantity.Add`: a sum keeps the notation of its first operand that is not zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from edgelab.objects import quantity


class Amount(NamedTuple):
    """A value, and a quantity of the notation (`1Ki`, `1`, `1e3`) that it is printed in."""

    value: Decimal
    like: str = "1"

    def __str__(self) -> str:
        number = self.value
        if self.like == "1Ki" and number == number.to_integral_value() and number % 1024 == 0:
            return quantity.canonical(f"{int(number) // 1024}Ki")
        if self.like == "1e3":
            return quantity.canonical(f"{quantity.text_of(number)}e0")
        return quantity.canonical(quantity.text_of(number))

    def plus(self, other: Amount) -> Amount:
        """The sum."""
        return Amount(self.value + other.value, self.like if self.value else other.like)


Amounts = dict[str, Amount]

NOTHING, ONE = Amount(Decimal()), Amount(Decimal(1))


def count(number: int) -> Amount:
    """A number of things."""
    return Amount(Decimal(number))


def parse(text: str | float) -> Amount:
    """A quantity as an object has it. Raises ValueError."""
    written = str(text)
    like = "1Ki" if written.endswith("i") else "1e3" if written[-1:].isdigit() and "e" in written else "1"
    return Amount(quantity.parse(written), like)


def whole(text: str | float) -> Amount:
    """The same, rounded up to a whole number."""
    amount = parse(text)
    return amount._replace(value=amount.value.to_integral_value(ROUND_CEILING))


def parse_all(found: Mapping[str, str] | None) -> Amounts:
    """The quantities of a list of resources."""
    return {name: parse(value) for name, value in (found or {}).items()}


def add(total: Amounts, more: Mapping[str, Amount]) -> None:
    """Add to a sum, in place."""
    for name, amount in more.items():
        present = total.get(name)
        total[name] = amount if present is None else present.plus(amount)


def most(total: Amounts, more: Mapping[str, Amount]) -> None:
    """Keep the larger of each, in place."""
    for name, amount in more.items():
        if name not in total or amount.value > total[name].value:
            total[name] = amount


def equal(one: Mapping[str, Amount], other: Mapping[str, Amount]) -> bool:
    """Whether both say the same, in whatever notation."""
    return one.keys() == other.keys() and all(one[name].value == other[name].value for name in one)


def text(names: Iterable[str], amounts: Mapping[str, Amount]) -> str:
    """`cpu=1,memory=1Gi`: of the names those that have an amount, sorted."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(names) if name in amounts)

"""Timing: the best of several rounds, because noise only ever adds."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

ROUNDS = 5


class Result(NamedTuple):
    """One measured figure."""

    label: str
    value: float
    unit: str
    is_reference: bool = False
    """Whether the ratios of the rows after it are to this one."""


def goal(label: str, value: float, unit: str) -> Result:
    """What is to be reached (`at most`, `at least`): the ratios are to it."""
    return Result(f"goal: {label}", value, unit, is_reference=True)


def rate(label: str, work: Callable[[], object], count: int, unit: str = "1/s") -> Result:
    """How many of `count` pieces of work a second, of the fastest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return Result(label, count / best, unit)


async def async_rate(
    label: str, work: Callable[[], Awaitable[object]], count: int, unit: str = "1/s"
) -> Result:
    """Like `rate`, for coroutines."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await work()
        best = min(best, time.perf_counter() - started)
    return Result(label, count / best, unit)

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

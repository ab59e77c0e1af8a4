"""Time as something that is handed in, so that tests own it."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import Protocol


class Clock(Protocol):
    """Wall clock, monotonic clock and sleep."""

    def now(self) -> dt.datetime:
        """Current time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> dt.datetime:
        """Current time, in UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


SYSTEM = SystemClock()


async def happens(event: asyncio.Event, seconds: float, clock: Clock) -> bool:
    """Wait until an event is set, at most so many seconds by the clock; whether it is."""
    pause = asyncio.ensure_future(clock.sleep(seconds))
    wait = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({pause, wait}, return_when=asyncio.FIRST_COMPLETED)
        return event.is_set()
    finally:
        pause.cancel()
        wait.cancel()


def rfc3339(moment: dt.datetime) -> str:
    """`2026-08-06T10:00:10Z`, the form of metav1.Time."""
    return _utc(moment, "seconds")


def rfc3339_milli(moment: dt.datetime) -> str:
    """`2026-08-06T10:00:10.000Z`, as fine as devices report."""
    return _utc(moment, "milliseconds")


def rfc3339_micro(moment: dt.datetime) -> str:
    """`2026-08-06T10:00:10.000000Z`, the form of metav1.MicroTime (leases)."""
    return _utc(moment, "microseconds")


def _utc(moment: dt.datetime, precision: str) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def parse_rfc3339(text: str) -> dt.datetime:
    """Read either form. Raises ValueError."""
    return dt.datetime.fromisoformat(text)

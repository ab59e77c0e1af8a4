"""systemd's watchdog: a daemon whose event loop hangs says nothing any more, and is started anew.

The unit's WatchdogSec= arrives as WATCHDOG_USEC, with WATCHDOG_PID naming the process it is meant for
(sd_watchdog_enabled(3)). The sign of life is given by the event loop itself, never by a thread: a thread
would go on saying that all is well while the loop is stuck.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Mapping

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.notify import notify

PER_INTERVAL = 3
"""Signs of life per interval; sd_watchdog_enabled(3) asks for two, the third is for a slow moment."""


def interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds of silence after which systemd ends process `pid`; None when it does not watch it."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


async def feed(seconds: float, clock: Clock = SYSTEM) -> None:
    """Tell systemd for ever that the loop runs, so often that `seconds` without a word mean a hang."""
    while True:
        notify(WATCHDOG="1")
        await clock.sleep(seconds / PER_INTERVAL)


def watched() -> float | None:
    """The interval of this process. When it is watched, systemd's SIGABRT shows where the loop hung."""
    seconds = interval(os.environ, os.getpid())
    if seconds is not None:
        faulthandler.enable()
    return seconds

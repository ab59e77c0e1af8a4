"""Run a daemon's main coroutine: event loop, signals, logging, and one clear line when it fails."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from edgelab.daemon.errors import Fatal
from edgelab.daemon.notify import notify
from edgelab.daemon.watchdog import feed, watched

log = logging.getLogger("edgelab")


def configure_logging(verbosity: int = 0) -> None:
    """Log to stderr, one line a record; systemd adds the time, so we do only when on a terminal."""
    stamp = "%(asctime)s " if sys.stderr.isatty() else ""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbosity >= 4 else logging.INFO,
        format=f"{stamp}%(levelname).1s %(name)s: %(message)s",
        force=True,
    )


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]], *, plain_loop: bool = False) -> int:
    """Run `main` until it returns, fails or a SIGTERM/SIGINT arrives; gives the exit status.

    `plain_loop`: on asyncio's own event loop, for a daemon to which uvloop brings memory and no speed.
    """
    try:
        with asyncio.Runner(loop_factory=None if plain_loop else loop_factory()) as runner:
            runner.run(_until_signal(main))
    except Exception as error:  # the last door: everything that nobody handled ends here
        fatal = find_fatal(error)
        if fatal is None:
            log.exception("%s failed unexpectedly; this is a defect, please report it", name)
            return 70
        print(f"{name}: {fatal}", file=sys.stderr, flush=True)
        notify(STATUS=f"failed: {fatal}")
        return fatal.code
    return 0


def find_fatal(error: BaseException) -> Fatal | None:
    """The Fatal inside an error or (nested) exception group, if there is one."""
    if isinstance(error, Fatal):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = (find_fatal(inner) for inner in error.exceptions)
        return next((fatal for fatal in found if fatal is not None), None)
    return None


async def _until_signal(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(main(), name="main")
    seconds = watched()
    feeder = None if seconds is None else asyncio.create_task(feed(seconds), name="watchdog")
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        notify(STOPPING="1")
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        with suppress(asyncio.CancelledError):
            await task
            return
    finally:
        if feeder is not None:
            feeder.cancel()
    if not stopped:
        raise RuntimeError("the main task was cancelled from inside")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes event loops: uvloop where it is installed, else asyncio's own choice (None)."""
    try:
        import uvloop  # noqa: PLC0415 - optional: there is no wheel for 32-bit ARM
    except ImportError:
        return None
    return uvloop.new_event_loop

"""The watchdog: signs of life while the event loop runs, silence and a place to look at when it hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgelab.daemon import watchdog

PROGRAM = """
import asyncio, sys, time
from edgelab.daemon.main import run
async def main():
    {body}
sys.exit(run("prog", main))
"""


class Stepping:
    """A clock that notes how long it was asked to sleep, and ends the third sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 3:
            raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_only_the_process_that_systemd_watches_feeds_the_watchdog(
    environment: dict[str, str], expected: float | None
) -> None:
    assert watchdog.interval(environment, 7) == expected


async def test_three_signs_of_life_fit_into_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Stepping()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with pytest.raises(asyncio.CancelledError):
            await watchdog.feed(30.0, clock)  # type: ignore[arg-type] - of a clock it needs sleep alone
        assert [systemd.recv(64) for _ in clock.slept] == [b"WATCHDOG=1"] * 3
    assert clock.slept == [10.0] * 3


def silent(systemd: socket.socket) -> bool:
    """Whether nothing more arrives for ten intervals, apart from what was on its way."""
    with contextlib.suppress(TimeoutError):
        for _ in range(20):
            systemd.recv(64)
        return False
    return True


def start(body: str, notify_socket: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "NOTIFY_SOCKET": str(notify_socket), "WATCHDOG_USEC": "300000"}
    environment.pop("WATCHDOG_PID", None)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)], stderr=subprocess.PIPE, text=True, env=environment
    )


def test_a_daemon_feeds_its_watchdog_and_ends_cleanly(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = start("await asyncio.sleep(60)", tmp_path / "notify")
        assert [systemd.recv(64) for _ in range(4)] == [b"WATCHDOG=1"] * 4
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_a_blocked_loop_falls_silent_and_says_where_it_hung_when_systemd_aborts_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = start("await asyncio.sleep(0.05); time.sleep(60)", tmp_path / "notify")
        assert systemd.recv(64) == b"WATCHDOG=1"
        systemd.settimeout(1)
        assert silent(systemd)
        process.send_signal(signal.SIGABRT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGABRT
    assert "in main" in err

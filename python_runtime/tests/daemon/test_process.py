"""How a daemon starts, is stopped and fails: real processes, real signals.

Covers edgelab.daemon; what a particular daemon does is tested with that daemon.
"""

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

from edgelab.daemon import backoff
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import find_fatal
from edgelab.daemon.tasks import Supervisor, guard, run_modules

PROGRAM = """
import asyncio, sys
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import run
from edgelab.daemon.notify import ready
async def main():
    ready("serving")
    {body}
sys.exit(run("prog", main))
"""


def start(body: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def test_a_fatal_error_is_one_line_and_its_own_exit_status() -> None:
    process = start("raise Fatal('port 10000 is taken', code=3)")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, "prog: port 10000 is taken\n")


def test_a_fatal_error_inside_a_task_group_is_still_one_line() -> None:
    body = """async with asyncio.TaskGroup() as group:
        async def fail(): raise Fatal('no containerd')
        group.create_task(fail())"""
    process = start(body)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "prog: no containerd\n")


def test_a_defect_shows_its_traceback() -> None:
    process = start("raise KeyError('x')")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 70
    assert "Traceback" in err


def test_sigterm_ends_cleanly_and_readiness_reaches_systemd(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = start("await asyncio.sleep(60)", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert systemd.recv(4096) == b"READY=1\nSTATUS=serving"
        process.send_signal(signal.SIGTERM)
        assert systemd.recv(4096) == b"STOPPING=1"
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("left", [True, False], ids=["a socket that nobody reads", "no socket"])
def test_sigterm_ends_it_when_nobody_listens_to_its_state_any_more(left: bool, tmp_path: Path) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place))
        systemd.settimeout(60)
        process = start("await asyncio.sleep(60)", NOTIFY_SOCKET=str(place))
        assert systemd.recv(4096) == b"READY=1\nSTATUS=serving"
    if not left:
        place.unlink()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")


def test_fatal_is_found_in_nested_groups() -> None:
    fatal = Fatal("x")
    group = ExceptionGroup("outer", [ValueError(), ExceptionGroup("inner", [fatal])])
    assert find_fatal(group) is fatal
    assert find_fatal(ValueError()) is None


async def test_a_task_that_ends_although_it_must_not_is_reported() -> None:
    async def ends() -> None:
        return

    with pytest.raises(RuntimeError, match="'poller' ended"):
        await guard("poller", ends())


async def test_one_failing_module_stops_the_others() -> None:
    class Failing:
        name = "failing"

        async def run(self) -> None:
            raise Fatal("gone")

    class Lasting:
        name = "lasting"
        stopped = False

        async def run(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                self.stopped = True

    lasting = Lasting()
    with pytest.raises(ExceptionGroup) as caught:
        await run_modules([lasting, Failing()])
    assert find_fatal(caught.value) is not None
    assert lasting.stopped


async def test_the_supervisor_reports_failures_and_cancels_the_rest() -> None:
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
    owner = Supervisor("sessions")

    async def fail() -> None:
        raise ValueError

    owner.spawn(fail(), "edge1")
    lasting = owner.spawn(asyncio.sleep(60), "edge2")
    await asyncio.sleep(0.01)
    await owner.close()
    assert reported == ["task sessions/edge1 failed"]
    assert lasting.cancelled()


async def test_the_supervisor_cancels_again_what_lost_its_cancellation() -> None:
    owner = Supervisor("pods")

    async def forgetful() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = owner.spawn(forgetful(), "web")
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await owner.close()
    assert task.cancelled()


def test_delays_grow_to_a_cap_and_are_spread() -> None:
    series = backoff.delays(1, 8, floor=0.5)
    drawn = [next(series) for _ in range(200)]
    assert 0.5 <= drawn[0] <= 1
    assert max(drawn) <= 8
    assert min(drawn[4:]) >= 4
    assert len(set(drawn[10:])) > 100

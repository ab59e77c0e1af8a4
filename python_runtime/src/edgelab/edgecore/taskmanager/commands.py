"""keadm, run beside EdgeCore: it may stop EdgeCore and start another version of it.

With systemd a command gets a transient unit of its own: EdgeCore's unit, in which it would run otherwise,
has not the rights that an upgrade needs, and ends when EdgeCore does. Elsewhere it gets a session of its
own, and is the machine's first process's child, which reaps it.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.edgecore.taskmanager.runner import DETACHED

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
LONGEST_SECONDS = 900.0
"""keadm waits for at most a minute for each step; longer means that the machine went down meanwhile."""
START_SECONDS = 20.0
UNIT = "edgelab-nodejob"
BOOT = Path("/proc/sys/kernel/random/boot_id")


class CommandFailed(Exception):
    """What keadm says."""


class _Result(msgspec.Struct):
    status: int
    output: str
    errors: str


class _Runs(msgspec.Struct):
    process: int
    boot: str


class _Said(msgspec.Struct):
    error: str = ""


class Commands:
    """Runs keadm with the configuration of this EdgeCore; `directory` holds what the one that runs leaves."""

    def __init__(self, directory: Path, config: Path, clock: Clock, *, keadm: Path | None = None) -> None:
        self._result = directory / "nodejob-result.json"
        self._runs = directory / "nodejob-result.json.runs"
        self._config = config
        self._clock = clock
        self._systemd = Path("/run/systemd/system").is_dir()
        self._keadm = keadm or Path(sys.prefix) / "bin" / "keadm"

    async def start(self, *words: str) -> None:
        """Start `keadm WORDS --config ... --output json`. Raises CommandFailed when it cannot be."""
        self.forget()
        keadm = [str(self._keadm), *words, "--config", str(self._config), "--output", "json"]
        runner = [sys.executable, "-P", "-m", "edgelab.edgecore.taskmanager.runner"]
        log.info("%s", " ".join(keadm))
        await _detached(runner, [str(self._result), *keadm], systemd=self._systemd)

    async def finish(self) -> str:
        """Wait for what was started, maybe by an EdgeCore before this one; its output.

        Raises CommandFailed.
        """
        began = self._clock.monotonic()
        while not self._result.exists():
            waited = self._clock.monotonic() - began
            if waited > LONGEST_SECONDS:
                raise CommandFailed(f"keadm has not ended for {LONGEST_SECONDS:g} s")
            if waited > START_SECONDS and not self._lives() and not self._result.exists():
                raise CommandFailed("keadm was ended before it was done: did the machine go down?")
            await self._clock.sleep(POLL_SECONDS)
        try:
            found = msgspec.json.decode(self._result.read_bytes(), type=_Result)
        except msgspec.DecodeError:
            raise CommandFailed(f"{self._result} cannot be read") from None
        if found.status:
            raise _failure(found)
        return found.output

    async def run(self, *words: str) -> str:
        """Start and finish. Raises CommandFailed."""
        await self.start(*words)
        return await self.finish()

    def forget(self) -> None:
        """The result has been taken."""
        self._result.unlink(missing_ok=True)
        self._runs.unlink(missing_ok=True)

    def _lives(self) -> bool:
        """Whether what was started runs: in this boot of the machine, and still."""
        try:
            runs = msgspec.json.decode(self._runs.read_bytes(), type=_Runs)
            return runs.boot == BOOT.read_text(encoding="ascii").strip() and _is_ours(
                runs.process, self._result
            )
        except (OSError, msgspec.DecodeError):
            return False


def _is_ours(process: int, result: Path) -> bool:
    return str(result).encode() in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")


def _failure(found: _Result) -> CommandFailed:
    for line in reversed(found.output.strip().splitlines()):
        try:
            said = msgspec.json.decode(line, type=_Said)
        except msgspec.DecodeError:
            continue
        if said.error:
            return CommandFailed(said.error)
    lines = found.errors.strip().splitlines()
    return CommandFailed(lines[-1] if lines else f"keadm ended with status {found.status}")


async def _detached(runner: Sequence[str], command: Sequence[str], *, systemd: bool) -> None:
    """Start the runner where it is no child of ours: nothing of it is left to wait for, or tied to the loop.

    Raises CommandFailed.
    """
    if systemd:
        unit = ["systemd-run", "--quiet", "--collect", "--no-block", f"--unit={UNIT}", "--"]
        starter = [*unit, *runner, *command]
    else:
        starter = [*runner, DETACHED, *command]
    # In a thread: both are done at once, and a cancellation leaves no transport behind.
    status, errors = await asyncio.to_thread(_start, starter)
    if status:
        raise CommandFailed(f"{Path(starter[0]).name}: {errors or f'status {status}'}")


def _start(starter: Sequence[str]) -> tuple[int, str]:
    """Status and last words. What goes on must not hold these pipes: the runner lets them go (`DETACHED`)."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            starter,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            start_new_session=True,
        )
    except OSError as error:
        return 127, error.strerror or str(error)
    return done.returncode, done.stderr.decode(errors="replace").strip()

"""Steps that put a daemon under systemd: the runtime's link, the unit, its environment, start and wait."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from edgelab.keadm.files import write_public
from edgelab.keadm.machine import Machine
from edgelab.keadm.report import Failure
from edgelab.keadm.steps import Report, Step, needed

RUNTIME = "/opt/edgelab"
POLL = 0.2
ENVIRONMENT = "CHECK_EDGECORE_ENVIRONMENT"


def unit_file(daemon: str) -> str:
    """The unit that this release brings."""
    return files("edgelab").joinpath("data", "systemd", f"{daemon}.service").read_text(encoding="utf-8")


def unit_path(machine: Machine, daemon: str) -> Path:
    """Where the unit lies."""
    return machine.path(f"/etc/systemd/system/{daemon}.service")


def runtime(machine: Machine, daemon: str) -> Step:
    """/opt/edgelab/current, which units start programs from: the installation that keadm runs from."""
    current = machine.path(RUNTIME) / "current"

    def look() -> str:
        if (current / "bin" / daemon).exists():
            return ""
        own = Path(sys.prefix)
        if not (own / "bin" / daemon).exists():
            raise Failure(
                f"there is no {current}/bin/{daemon}, and keadm does not run from an installation that has"
                " it:"
                " install edgelab into a virtual environment (python3 -m venv /opt/edgelab/venvs/VERSION) and"
                " run its keadm"
            )
        return f"{current} becomes a link to {own}"

    def do() -> None:
        current.parent.mkdir(parents=True, exist_ok=True)
        current.unlink(missing_ok=True)
        current.symlink_to(sys.prefix)

    return Step("runtime", look, do)


def unit(machine: Machine, daemon: str) -> Step:
    """The unit file, as this release has it."""
    path = unit_path(machine, daemon)

    def differs() -> bool:
        return not path.exists() or path.read_text(encoding="utf-8") != unit_file(daemon)

    def do() -> None:
        write_public(path, unit_file(daemon))
        machine.units.do("daemon-reload")

    return Step("unit", needed(f"{path} is written", when=differs), do)


def environment(machine: Machine) -> Step:
    """CHECK_EDGECORE_ENVIRONMENT=false of this shell, kept for the unit: both daemons on one host."""
    path = machine.path("/etc/default/edgecore")
    line = f"{ENVIRONMENT}=false"

    def lines() -> list[str]:
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def missing() -> bool:
        return os.environ.get(ENVIRONMENT, "").lower() == "false" and line not in lines()

    def do() -> None:
        write_public(path, "\n".join([*lines(), line]) + "\n")

    return Step("environment", needed(f"{line} goes into {path}", when=missing), do)


def start(machine: Machine, daemon: str, report: Report, *, after: tuple[str, ...]) -> list[Step]:
    """Start the daemon now and at boot; restart it when one of the steps `after` changed something."""
    units = machine.units

    def look() -> str:
        if not units.active(daemon):
            return f"{daemon} is started"
        return f"{daemon} is restarted" if report.changed_by(*after) else ""

    def do() -> None:
        units.do("restart" if units.active(daemon) else "start", daemon)

    boot = needed(f"{daemon} starts at boot", when=lambda: not units.enabled(daemon))
    return [Step("boot", boot, lambda: units.do("enable", daemon)), Step("start", look, do)]


def stop(machine: Machine, daemon: str) -> Step:
    """Stop the daemon, and start it at boot no more."""
    units = machine.units

    def do() -> None:
        if units.active(daemon):
            units.do("stop", daemon)
        if units.enabled(daemon):
            units.do("disable", daemon)

    runs = needed(f"{daemon} is stopped", when=lambda: units.active(daemon) or units.enabled(daemon))
    return Step(f"stop {daemon}", runs, do)


def wait(name: str, what: str, problem: Callable[[], str], seconds: float) -> Step:
    """Wait until there is no problem any more. The step fails with the last one."""

    def do() -> None:
        deadline = time.monotonic() + seconds
        while last := problem():
            if time.monotonic() >= deadline:
                raise Failure(f"after {seconds:.0f} s {last}")
            time.sleep(POLL)

    return Step(name, needed(what, when=lambda: bool(problem())), do)

"""A host of its own for each test: files below a directory, and units that only remember what was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgelab.keadm.machine import Machine
from edgelab.keadm.report import Failure


class Units:
    """Units in memory. `on` may do what starting or stopping one has as its effect."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.at_boot: set[str] = set()
        self.calls: list[str] = []
        self.on: dict[str, Callable[[], None]] = {}
        self.broken: set[str] = set()

    def present(self) -> bool:
        return True

    def active(self, unit: str) -> bool:
        return unit in self.running

    def enabled(self, unit: str) -> bool:
        return unit in self.at_boot

    def do(self, verb: str, unit: str = "") -> None:
        call = f"{verb} {unit}".strip()
        self.calls.append(call)
        if call in self.broken:
            raise Failure(f"systemctl {call}: it does not want to")
        if verb in ("start", "restart"):
            self.running.add(unit)
        elif verb == "stop":
            self.running.discard(unit)
        elif verb == "enable":
            self.at_boot.add(unit)
        elif verb == "disable":
            self.at_boot.discard(unit)
        self.on.get(call, lambda: None)()


class Host(Machine):
    """A machine below a directory."""

    units: Units

    def install(self, version: str, *programs: str) -> Path:
        """A runtime below /opt/edgelab that has these programs, made the current one."""
        venv = self.path(f"/opt/edgelab/venvs/{version}")
        for program in programs:
            (venv / "bin").mkdir(parents=True, exist_ok=True)
            (venv / "bin" / program).write_text("#!/bin/sh\n")
        (venv / ".complete").write_text("")
        current = self.path("/opt/edgelab/current")
        current.unlink(missing_ok=True)
        current.symlink_to(f"venvs/{version}")
        return venv

    def files(self) -> dict[str, bytes]:
        """Every file below the root: what a dry run must leave alone."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

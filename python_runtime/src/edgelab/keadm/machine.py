"""This host as keadm changes it: files below a root, and systemd. The one place where units are driven."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgelab.keadm.report import Failure

SECONDS = 120.0
"""A unit may take its TimeoutStartSec and a little more."""


class Units(Protocol):
    """What keadm asks of the service manager; names without `.service`."""

    def present(self) -> bool:
        """Whether there is one that could be asked."""

    def active(self, unit: str) -> bool:
        """Whether a unit runs."""

    def enabled(self, unit: str) -> bool:
        """Whether a unit starts at boot."""

    def do(self, verb: str, unit: str = "") -> None:
        """`start`, `stop`, `restart`, `enable`, `disable`, `daemon-reload`. Raises Failure."""


class Systemd:
    """systemd through systemctl."""

    def present(self) -> bool:
        """Whether systemd is the init of this host."""
        return shutil.which("systemctl") is not None and Path("/run/systemd/system").is_dir()

    def active(self, unit: str) -> bool:
        """Whether a unit runs."""
        return self.present() and self._call("is-active", "--quiet", unit).returncode == 0

    def enabled(self, unit: str) -> bool:
        """Whether a unit starts at boot."""
        return self.present() and self._call("is-enabled", "--quiet", unit).returncode == 0

    def do(self, verb: str, unit: str = "") -> None:
        """Let systemctl do it. Raises Failure with its words."""
        if not self.present():
            raise Failure("systemd does not run this host: start the daemons yourself, or use --no-start")
        done = self._call(verb, *([unit] if unit else []))
        if done.returncode:
            said = " ".join(done.stderr.split())
            where = f"; see `journalctl -u {unit} -n 20`" if unit else ""
            raise Failure(f"systemctl {verb} {unit}: {said}{where}")

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = shutil.which("systemctl") or "systemctl"
        return subprocess.run(  # noqa: S603 - fixed program and words
            [program, *words], capture_output=True, text=True, check=False, timeout=SECONDS
        )


@dataclass(frozen=True, slots=True)
class Machine:
    """A host. `root` is `/` unless a test has another one; paths of settings are taken below it."""

    root: Path = Path("/")
    units: Units = field(default_factory=Systemd)

    def path(self, name: str | Path) -> Path:
        """Where an absolute path lies below the root; one that is there already stays."""
        path = Path(name)
        return path if path.is_relative_to(self.root) else self.root / str(path).lstrip("/")

    def must_be_root(self, what: str) -> None:
        """Refuse anybody else. Raises Failure."""
        if self.root == Path("/") and os.geteuid() != 0:
            raise Failure(f"{what} needs root: run it with sudo")


def this() -> Machine:
    """The host that keadm runs on."""
    return Machine()


def run_script(script: str, when: str) -> None:
    """Run the script of `--pre-run` or `--post-run`. Raises Failure with the end of what it said."""
    words: Sequence[str] = ["/bin/sh", script]
    if not Path(script).is_file():
        raise Failure(f"--{when}-run {script}: no such file")
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - the operator's own
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no words"]
        raise Failure(f"--{when}-run {script} ended with status {done.returncode}: {said[0]}")

"""Versions of the runtime on this host, and how one becomes the current one in a single rename.

<root>/venvs/<version>/           one virtual environment each
<root>/current -> venvs/<version>
<root>/previous -> venvs/<version>

The same layout as Ansible's role python_runtime keeps; a link may also name a place elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgelab.keadm.report import Failure

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The directory tree below `root`, which is /opt/edgelab."""

    root: Path

    def linked(self, name: str) -> Path | None:
        """The environment that `current` or `previous` names; None without one."""
        link = self.root / name
        return link.resolve() if link.is_symlink() else None

    def versions(self) -> list[str]:
        """Versions that are installed below the root."""
        venvs = self.root / "venvs"
        return sorted(entry.name for entry in venvs.iterdir()) if venvs.is_dir() else []

    def find(self, version: str, daemon: str) -> Path:
        """The environment of a version, or without one that which keadm runs from. Raises Failure."""
        if not version:
            own = Path(sys.prefix).resolve()
            if not (own / "bin" / daemon).exists():
                raise Failure(
                    f"say which version: --toVersion, one of {', '.join(self.versions()) or 'none'}; or run"
                    " the keadm of the new one"
                )
            return own
        found = self.root / "venvs" / version
        if "/" in version or not (found / "bin" / daemon).exists():
            listed = ", ".join(self.versions()) or "none"
            raise Failure(
                f"there is no version {version} with {daemon} below {self.root}/venvs (there are: {listed}):"
                " install it there first (python3 -m venv, pip install edgelab)"
            )
        return found.resolve()

    def activate(self, venv: Path) -> None:
        """Make an environment the current one, remembering the one that it replaces."""
        before = self.linked("current")
        if before is not None and before != venv:
            self._link("previous", before)
        self._link("current", venv)

    def return_to(self, venv: Path) -> None:
        """Make an earlier one current again; what failed is not offered as the previous one."""
        self._link("current", venv)
        (self.root / "previous").unlink(missing_ok=True)

    def _link(self, name: str, venv: Path) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        fresh = self.root / f"{name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        root = self.root.resolve()
        fresh.symlink_to(venv.relative_to(root) if venv.is_relative_to(root) else venv)
        os.replace(fresh, self.root / name)


def unit_of(venv: Path, daemon: str) -> str:
    """The unit that a version brings; empty when it brings none."""
    found = sorted(venv.glob(f"lib/python3*/site-packages/edgelab/data/systemd/{daemon}.service"))
    return found[0].read_text(encoding="utf-8") if found else ""


def run(venv: Path, daemon: str, *words: str) -> None:
    """Let a version's program look at something. Raises Failure with its words."""
    program = str(venv / "bin" / daemon)
    try:
        done = subprocess.run(  # noqa: S603 - a program of ours
            [program, *words], capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{program} cannot be run: {error}") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise Failure(f"{program} {' '.join(words)}: {said or f'status {done.returncode}'}")

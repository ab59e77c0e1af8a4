"""EdgeCore as hosts have it: the wheel and the locked packages, compiled, in an environment of its own.

What the sources' own environment has besides (uvloop, no bytecode) would be measured instead.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

RUNTIME = Path(__file__).resolve().parents[1]
UNIT = RUNTIME / "src" / "edgelab" / "data" / "systemd" / "edgecore.service"
PYTHON = os.environ.get("EDGELAB_BENCH_PYTHON", "/usr/bin/python3")
"""The hosts' Python: a distribution's own is smaller than one that was built with a shared library."""


class Installed(NamedTuple):
    """Where it is, and how EdgeCore is started from it."""

    python: Path
    packages: Path

    def size(self, *, bytecode: bool = False) -> float:
        """What its files hold, in megabytes; with what Python makes of the sources or without."""
        files = (file for file in self.packages.rglob("*") if not file.is_dir())
        return sum(file.lstat().st_size for file in files if bytecode or file.suffix != ".pyc") / 1e6

    def environment(self) -> dict[str, str]:
        """What the service's unit sets, on top of a plain environment."""
        lines = UNIT.read_text().splitlines()
        pairs = (line.removeprefix("Environment=") for line in lines if line.startswith("Environment="))
        set_by_unit = dict(pair.split("=", 1) for line in pairs for pair in line.split())
        plain = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "MALLOC"))}
        return {**plain, **set_by_unit, "CHECK_EDGECORE_ENVIRONMENT": "false"}


async def install(base: Path) -> Installed:
    """Build and install as the role does; pip needs its index. Raises RuntimeError."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    wheels, environment = base / "wheels", base / "venv"
    locked = ("--no-deps", "--require-hashes", "-r", str(RUNTIME / "locks" / "edge.lock"))
    await _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(RUNTIME))
    await _run(PYTHON, "-I", "-m", "venv", "--without-pip", str(environment))
    python = environment / "bin" / "python"
    into = (*pip, "--python", str(python), "install", "--no-compile")
    await _run(*into, *locked)
    await _run(*into, "--no-deps", *(str(wheel) for wheel in wheels.iterdir()))
    packages = next((environment / "lib").glob("python*/site-packages"))
    for part in _left_out():
        shutil.rmtree(packages / "edgelab" / part)
    await _run(str(python), "-I", "-m", "compileall", "-q", "-j", "0", str(packages))
    return Installed(python, packages)


def _left_out() -> list[str]:
    """Parts of the runtime that the role does not install on edge hosts."""
    lines = (RUNTIME / "locks" / "edge.lock").read_text().splitlines()
    mark = "# leaves out: "
    return next(line.removeprefix(mark) for line in lines if line.startswith(mark)).split()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {errors.decode(errors='replace')[-1000:]}")

"""Work with keys, which a short-lived child does: this process never loads a cryptography library."""

from __future__ import annotations

import asyncio
import sys

from edgelab.daemon.errors import Unreachable

TIMEOUT = 30.0
"""Seconds that a child may take when nothing else is said."""
CUT_OFF = 0
"""The status of one that took longer."""


class ChildFailed(Unreachable):
    """The child's last words; `status` is its exit status (`edgelab.identity.enrol.Code`) or CUT_OFF."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def identity(command: str, *arguments: str, standard_input: str = "", seconds: float = TIMEOUT) -> str:
    """What `python -m edgelab.identity COMMAND` prints. Raises ChildFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "edgelab.identity", command, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(standard_input.encode())
    except TimeoutError:
        raise ChildFailed(f"edgelab.identity {command} took longer than {seconds:g} s", CUT_OFF) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"edgelab.identity {command} ended with status {process.returncode}"
        raise ChildFailed(said, process.returncode)
    return output.decode()

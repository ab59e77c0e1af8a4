"""Work with keys, which a short-lived child does: this process never loads a cryptography library."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO

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
    with _filled(standard_input) as pipe:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "edgelab.identity", command, *arguments),
            stdin=pipe,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
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


@contextlib.contextmanager
def _filled(text: str) -> Iterator[IO[bytes]]:
    """The reading end of a pipe that has the text: who reads it needs nothing more of this process.

    A token is far smaller than what a pipe holds. Raises BlockingIOError for a text that is not.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with os.fdopen(reading, "rb") as pipe:
        with os.fdopen(writing, "wb", buffering=0) as other:
            os.set_blocking(writing, False)
            if other.write(text.encode()) != len(text.encode()):
                raise BlockingIOError("more than a pipe holds")
        yield pipe

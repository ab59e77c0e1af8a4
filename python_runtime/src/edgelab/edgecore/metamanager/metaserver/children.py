"""Work with keys, which a short-lived child does: this process never loads a cryptography library."""

from __future__ import annotations

import asyncio
import sys

from edgelab.daemon.errors import Unreachable

TIMEOUT = 30.0
"""Seconds that a child may take."""


async def identity(command: str, *arguments: str, standard_input: str = "") -> str:
    """What `python -m edgelab.identity COMMAND` prints. Raises Unreachable with its last words."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "edgelab.identity", command, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, errors = await process.communicate(standard_input.encode())
    except TimeoutError:
        raise Unreachable(f"edgelab.identity {command} took longer than {TIMEOUT:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise Unreachable(lines[-1] if lines else f"{command} ended with status {process.returncode}")
    return output.decode()

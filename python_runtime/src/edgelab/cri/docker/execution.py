"""Commands in containers: exec create, start, and the two output streams that Docker interleaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgelab.cri.docker.ending import end_command
from edgelab.cri.docker.http import Engine
from edgelab.cri.errors import CriError
from edgelab.cri.runtime import ExecResult
from edgelab.daemon import backoff

HEAD = 8
STDERR = 2
OUTPUT_LIMIT = 16 << 20
"""Bytes of output that are kept, as containerd's CRI does."""


async def run(
    engine: Engine, container: str, command: Sequence[str], seconds: int, deadline: float
) -> ExecResult:
    """Run a command to its end. Raises CriError DEADLINE_EXCEEDED after `seconds` (0: `deadline`).

    One that takes too long is killed, as containerd does; under dockershim it went on.
    """
    asked = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command)}
    created = await engine.call("POST", f"/containers/{container}/exec", asked, deadline=deadline)
    path, output = f"/exec/{created['Id']}", Output()
    limit = float(seconds or deadline)
    try:
        async with asyncio.timeout(limit):
            async with engine.stream("POST", f"{path}/start", {"Detach": False, "Tty": False}) as answer:
                async for part in answer.body:
                    output.add(part)
            code = await exit_code(engine, path, deadline)
    except asyncio.CancelledError:
        await end_command(engine, container, path, deadline)
        raise
    except TimeoutError:
        await end_command(engine, container, path, deadline)
        text = f"command {list(command)} timed out after {limit:g} s"
        raise CriError("DEADLINE_EXCEEDED", text) from None
    return ExecResult(code, bytes(output.stdout), bytes(output.stderr))


async def exit_code(engine: Engine, path: str, deadline: float) -> int:
    """The exit code of `/exec/ID`, whose output has ended; a command may go on without any.

    Docker notes it a moment after the end. Raises RuntimeUnreachable, CriError.
    """
    waits = backoff.delays(0.02, 0.5)
    while True:
        found = await engine.call("GET", f"{path}/json", deadline=deadline)
        if not found["Running"]:
            return int(found["ExitCode"] or 0)
        await asyncio.sleep(next(waits))


class Output:
    """Takes the multiplexed stream apart: frames of a kind, three zero bytes, a big-endian length, data."""

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._rest = bytearray()

    def add(self, part: bytes) -> None:
        """The next bytes; what is over the limit is dropped."""
        self._rest += part
        while len(self._rest) >= HEAD:
            size = int.from_bytes(self._rest[4:HEAD], "big")
            if len(self._rest) < HEAD + size:
                return
            target = self.stderr if self._rest[0] == STDERR else self.stdout
            target += self._rest[HEAD : HEAD + size][: OUTPUT_LIMIT - len(target)]
            del self._rest[: HEAD + size]

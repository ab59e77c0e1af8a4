"""Docker's exec, attach and a pod's ports (Engine API: exec, attach and their hijacked connections)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from edgelab.cri.docker import execution, network
from edgelab.cri.docker.ending import end_command
from edgelab.cri.docker.http import Engine
from edgelab.cri.errors import CriError
from edgelab.cri.joining import STDERR, STDOUT, Process, Wanted
from edgelab.daemon.halves import Outgoing

log = logging.getLogger(__name__)

CHUNK = 32 << 10
HEAD = 8
DETACH_KEYS = "ctrl-@,ctrl-^,ctrl-@,ctrl-^,ctrl-@,ctrl-^"
"""Docker leaves a terminal at Ctrl-P Ctrl-Q, and holds every Ctrl-P back until the next key: not a kubelet's
ways. There is no "none", so it gets what nobody types."""


class DockerJoining:
    """`deadline` (seconds) bounds the calls besides the streams."""

    def __init__(self, engine: Engine, deadline: float) -> None:
        self._engine = engine
        self._deadline = deadline

    @asynccontextmanager
    async def exec(self, container: str, command: Sequence[str], wanted: Wanted) -> AsyncIterator[Process]:
        """Run a command; what still runs at the end of the block is killed, as containerd does."""
        asked = {
            "AttachStdin": wanted.stdin,
            "AttachStdout": wanted.stdout,
            "AttachStderr": wanted.stderr,
            "Tty": wanted.tty,
            "Cmd": list(command),
            **({"DetachKeys": DETACH_KEYS} if wanted.tty else {}),
        }
        created = await self._engine.call(
            "POST", f"/containers/{container}/exec", asked, deadline=self._deadline
        )
        path, start = f"/exec/{created['Id']}", {"Detach": False, "Tty": wanted.tty}
        process: Hijacked | None = None
        refused = False
        try:
            async with self._engine.hijack(f"{path}/start", start) as (reader, out):
                process = Hijacked(
                    self._engine,
                    path,
                    reader,
                    out,
                    raw=wanted.tty,
                    deadline=self._deadline,
                    closes=not wanted.tty,
                )
                yield process
        except CriError:
            refused = process is None
            raise
        finally:
            if not refused and not (process is not None and process.ended):
                await end_command(self._engine, container, path, self._deadline)

    @asynccontextmanager
    async def attach(self, container: str, wanted: Wanted) -> AsyncIterator[Process]:
        """Join the process; whether it has a terminal is the container's matter."""
        path = f"/containers/{container}"
        found = await self._engine.call("GET", f"{path}/json", deadline=self._deadline)
        raw = bool(found["Config"]["Tty"])
        closes = bool(found["Config"]["StdinOnce"]) and not raw
        query = {"stream": "1", "detachKeys": DETACH_KEYS if raw else ""}
        for name in ("stdin", "stdout", "stderr"):
            query[name] = "1" if getattr(wanted, name) else ""
        async with self._engine.hijack(f"{path}/attach", query=query) as (reader, out):
            yield Hijacked(
                self._engine,
                path,
                reader,
                out,
                raw=raw,
                deadline=self._deadline,
                closes=closes,
                ends=False,
            )

    async def dial(self, sandbox: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect inside the sandbox's network, so that what listens on its loopback only is reached too."""
        found = await self._engine.call("GET", f"/containers/{sandbox}/json", deadline=self._deadline)
        if not found["State"]["Running"]:
            raise CriError("NOT_FOUND", f"sandbox {sandbox[:12]} does not run")
        on_host = found["HostConfig"]["NetworkMode"] == "host"
        return await network.dial("" if on_host else str(found["NetworkSettings"]["SandboxKey"]), port)


class Hijacked:
    """A connection to a process: raw with a terminal, else in frames that name the stream."""

    def __init__(
        self,
        engine: Engine,
        path: str,
        reader: asyncio.StreamReader,
        out: Outgoing,
        *,
        raw: bool,
        deadline: float,
        closes: bool,
        ends: bool = True,
    ) -> None:
        """`closes`: the input may end; `ends`: it is a command with an exit code of its own."""
        self._engine = engine
        self._path = path
        self._reader = reader
        self._out = out
        self._raw = raw
        self._deadline = deadline
        self._closes = closes
        self._ends = ends
        self.ended = False

    async def outputs(self) -> AsyncIterator[tuple[str, bytes]]:
        """Raises OSError when the connection is cut within a frame."""
        while not self._raw:
            head = await self._reader.read(HEAD)
            if not head:
                return
            try:
                head += await self._reader.readexactly(HEAD - len(head))
            except asyncio.IncompleteReadError:
                raise ConnectionResetError("Docker cut the output") from None
            name, left = STDERR if head[0] == execution.STDERR else STDOUT, int.from_bytes(head[4:], "big")
            while left:
                data = await self._reader.read(min(left, CHUNK))
                if not data:
                    raise ConnectionResetError("Docker cut the output")
                left -= len(data)
                yield name, data
        while data := await self._reader.read(CHUNK):
            yield STDOUT, data

    async def send(self, data: bytes) -> None:
        """Write to its standard input."""
        await self._out.send(data)

    async def finish(self) -> None:
        """Close its standard input.

        Docker would cut the outputs where it stays open: with a terminal, and for containers without
        `stdinOnce`.
        """
        if self._closes:
            self._out.finish()

    async def resize(self, width: int, height: int) -> None:
        """Tell the size of the terminal."""
        query: dict[str, Any] = {"w": str(width), "h": str(height)}
        await self._engine.call("POST", f"{self._path}/resize", query=query, deadline=self._deadline)

    async def exit_code(self) -> int:
        """Of a command; one that is attached to goes on or has the container's own."""
        code = await execution.exit_code(self._engine, self._path, self._deadline) if self._ends else 0
        self.ended = True
        return code

"""What the API server does, done directly: TLS with its certificate to the port that the Node names."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from tests.component.edged.spdy_client import HEADERS, Client
from tests.component.streams.lab import StreamLab

from edgelab.edgecore.kubelet import Pipe


class Direct:
    """The way to the kubelet of the node."""

    def __init__(self, lab: StreamLab, address: str, port: int) -> None:
        tls = lab.directory / "site" / "tls"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._context.load_cert_chain(tls / "kubelet-client.crt", tls / "kubelet-client.key")
        self._place = (address, port)

    async def ask(self, method: str, target: str, headers: dict[str, list[str]]) -> Pipe:
        reader, writer = await asyncio.open_connection(*self._place, ssl=self._context)
        lines = [f"{method} {target} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, values in headers.items() for value in values]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return Pipe(reader, writer)

    async def exec(self, pod: str, command: str) -> Client:
        """A command with all streams but standard error."""
        query = f"command={command}&input=1&output=1"
        return await self._join(f"/exec/default/{pod}/main?{query}", "error", "stdin", "stdout")

    async def attach(self, pod: str) -> Client:
        """The output of what runs."""
        return await self._join(f"/attach/default/{pod}/main?output=1", "error", "stdout")

    async def _join(self, target: str, *types: str) -> Client:
        client = Client(await self.ask("POST", target, HEADERS))
        head = await client.upgraded()
        assert head.startswith(b"HTTP/1.1 101 "), head
        client.open_all(*types)
        return client


def resident(pid: int) -> float:
    """MiB of memory of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Rss:"))


def descriptors(pid: int) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))

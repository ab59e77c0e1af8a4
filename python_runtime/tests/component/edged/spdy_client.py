"""A client of exec, attach and portForward by SPDY/3.1, on a connection where the request has been sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from edgelab.edgecore.kubelet import Pipe, Request
from edgelab.protocol import spdy

HEADERS = {
    "Connection": ["Upgrade"],
    "Upgrade": ["SPDY/3.1"],
    "Content-Length": ["0"],
    "X-Stream-Protocol-Version": ["v5.channel.k8s.io", "v4.channel.k8s.io"],
}
PORTS = {**HEADERS, "X-Stream-Protocol-Version": ["portforward.k8s.io"]}


def request(path: str, query: str = "", headers: dict[str, list[str]] = HEADERS) -> Request:
    return Request("POST", path, query, headers)


class Client:
    """`streams` are opened in their order, with numbers 1, 3, 5 ..."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.writer = spdy.Writer()
        self.names: dict[int, str] = {}

    async def upgraded(self) -> bytes:
        return await asyncio.wait_for(self.pipe.reader.readuntil(b"\r\n\r\n"), 20)

    def open(self, name: str, headers: dict[str, str]) -> int:
        number = 2 * len(self.names) + 1
        self.names[number] = name
        self.pipe.writer.write(self.writer.open(number, headers))
        return number

    def open_all(self, *types: str) -> None:
        for name in types:
            self.open(name, {"streamtype": name})

    def send(self, name: str, data: bytes, *, final: bool = False) -> None:
        number = next(number for number, known in self.names.items() if known == name)
        self.pipe.writer.write(spdy.Writer.data(number, data, final=final))

    async def frames(self) -> AsyncIterator[tuple[str, bytes, bool]]:
        reader = spdy.Reader()
        while data := await asyncio.wait_for(self.pipe.reader.read(65536), 20):
            for frame in reader.feed(data):
                if frame.kind == 0:
                    yield self.names[frame.number], frame.data, frame.final

    async def outputs(self, until: str = "") -> dict[str, bytes]:
        """What came on each stream, until that of this name or the connection is at its end."""
        found: dict[str, bytes] = dict.fromkeys(self.names.values(), b"")
        async for name, data, final in self.frames():
            found[name] += data
            if final and name == until:
                break
        return found

    def close(self) -> None:
        self.pipe.writer.close()


async def connect(streams: Any, asked: Request) -> Client:
    client = Client(await streams.connect(asked))
    head = await client.upgraded()
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client

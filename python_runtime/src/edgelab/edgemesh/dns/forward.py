"""Questions for others: asked of the host's own name servers, by UDP or, when the answer is long, by TCP.

Facts: resolv.conf(5); systemd-resolved(8) for where it writes the servers that it uses itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from edgelab.edgemesh.dns import wire
from edgelab.edgemesh.dns.wire import Query
from edgelab.edgemesh.table import is_ipv4

log = logging.getLogger("edgelab.edgemesh.dns")

FILES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""systemd-resolved's own list first: its stub in /etc would ask us again."""
LOOK_SECONDS = 5.0
ANSWER_SECONDS = 2.0
MOST_SERVERS = 3

Server: TypeAlias = tuple[str, int]


class Upstreams:
    """The name servers that the host uses, read again when their file changes; never `own` address."""

    def __init__(
        self,
        own: str,
        fixed: Sequence[str] = (),
        files: Sequence[Path] = FILES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = own
        self._fixed = [server(text) for text in fixed]
        self._files = files
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._found: list[Server] = []

    def servers(self) -> list[Server]:
        """Address and port of each, in the order they are asked."""
        if self._fixed:
            return self._fixed
        if self._monotonic() - self._looked > LOOK_SECONDS:
            self._looked = self._monotonic()
            self._found = self._read()
        return self._found

    def _read(self) -> list[Server]:
        for file in self._files:
            try:
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                continue
            words = [line.split() for line in lines]
            given = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
            found = [(ip, 53) for ip in given if is_ipv4(ip) and ip != self._own]
            if found:
                return found[:MOST_SERVERS]
        return []


def server(text: str) -> Server:
    """`1.2.3.4` or `1.2.3.4:53`."""
    host, _, port = text.partition(":")
    return host, int(port or 53)


class Forwarder:
    """Asks one upstream after the other. `most` questions at once; further ones fail at once."""

    def __init__(
        self, upstreams: Upstreams, *, most: int = 256, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._upstreams = upstreams
        self._room = most
        self._seconds = answer_seconds

    async def ask(self, query: Query, message: bytes, *, tcp: bool) -> bytes:
        """The answer of the first that gives one, with the question's number; SERVFAIL when none does."""
        if self._room <= 0:
            return wire.answer(query, wire.SERVFAIL)
        self._room -= 1
        try:
            for upstream in self._upstreams.servers():
                try:
                    async with asyncio.timeout(self._seconds):
                        found = await (_by_tcp if tcp else _by_udp)(upstream, query, message)
                except (OSError, TimeoutError, EOFError) as error:
                    log.debug("name server %s: %s", upstream[0], error or "no answer in time")
                    continue
                return struct.pack("!H", query.number) + found[2:]
            return wire.answer(query, wire.SERVFAIL)
        finally:
            self._room += 1


class _Exchange(asyncio.DatagramProtocol):
    """One question on a socket of its own: its port is new, and so hard to guess for who would lie."""

    def __init__(self, number: int, question: bytes) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._number = number
        self._question = question

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done() and _fits(data, self._number, self._question):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _fits(data: bytes, number: int, question: bytes) -> bool:
    head = wire.HEADER.size
    if len(data) < head + len(question):
        return False
    found, flags, questions, *_ = wire.HEADER.unpack_from(data)
    return (
        found == number
        and bool(flags & wire.QR)
        and questions == 1
        and data[head : head + len(question)].lower() == question.lower()
    )


async def _by_udp(upstream: Server, query: Query, message: bytes) -> bytes:
    number = int.from_bytes(os.urandom(2), "big")
    transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Exchange(number, query.question), remote_addr=upstream
    )
    try:
        transport.sendto(struct.pack("!H", number) + message[2:])
        return await exchange.answer
    finally:
        exchange.answer.cancel()
        transport.close()


async def _by_tcp(upstream: Server, query: Query, message: bytes) -> bytes:
    number = int.from_bytes(os.urandom(2), "big")
    reader, writer = await asyncio.open_connection(*upstream)
    try:
        writer.write(struct.pack("!HH", len(message), number) + message[2:])
        length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
        if not _fits(data, number, query.question):
            raise ConnectionError("it answers what was not asked")
        return data
    finally:
        writer.close()

"""The DNS server: UDP and TCP on one address.

Receives: queries of the host and its pods. Answers those for the cluster's domain out of `Zone` at once, all
others through `Forwarder`; names of the cluster never leave the host. Stores nothing. Without an upstream,
other names are SERVFAIL. Bounded: `MOST_CONNECTIONS` by TCP, the forwarder's limit by UDP.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from edgelab.daemon.errors import Fatal
from edgelab.daemon.tasks import Supervisor
from edgelab.edgemesh.dns import wire
from edgelab.edgemesh.dns.forward import Forwarder
from edgelab.edgemesh.dns.zone import Zone

log = logging.getLogger("edgelab.edgemesh.dns")

MOST_CONNECTIONS = 64
IDLE_SECONDS = 10.0


class DnsServer:
    """A module; `start` before `run`."""

    name = "dns"

    def __init__(self, zone: Zone, forwarder: Forwarder, address: str, port: int = 53) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._address = address
        self._port = port
        self._tasks = Supervisor("dns")
        self._connections = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._udp is not None
        return int(self._udp.get_extra_info("sockname")[1])

    async def start(self) -> None:
        """Listen. Raises Fatal when the port is taken."""
        loop = asyncio.get_running_loop()
        try:
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self._address, self._port)
            )
            self._udp = udp
            self._tcp = await asyncio.start_server(self._connected, self._address, self.port)
        except OSError as error:
            await self.stop()
            where = f"{self._address}:{self._port}"
            raise Fatal(f"modules.edgeDNS: cannot listen on {where}: {error.strerror or error}") from None

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Listen no longer."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        await self._tasks.close()

    def datagram(self, message: bytes, client: Any) -> None:
        """Answer a query that came by UDP; one that has to be forwarded gets a task."""
        try:
            query = wire.parse(message)
        except wire.Malformed as error:
            if error.code is not None:
                self._send(wire.refusal(message, error.code), client)
            return
        if self._zone.holds(query.name):
            self._send(self._zone.answer(query, query.udp_size), client)
        else:
            self._tasks.spawn(self._forward(query, message, client), "forward")

    async def _forward(self, query: wire.Query, message: bytes, client: Any) -> None:
        answer = await self._forwarder.ask(query, message, tcp=False)
        self._send(wire.cut(answer, query.udp_size), client)

    def _send(self, answer: bytes, client: Any) -> None:
        if self._udp is not None:
            self._udp.sendto(answer, client)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections += 1
        task = self._tasks.spawn(self._converse(reader, writer), "connection")
        task.add_done_callback(lambda _: self._ended(writer))

    def _ended(self, writer: asyncio.StreamWriter) -> None:
        self._connections -= 1
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One query after the other (RFC 7766) until the client is done or says nothing."""
        try:
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    message = await reader.readexactly(length)
                answer = await self._answer(message)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return

    async def _answer(self, message: bytes) -> bytes | None:
        try:
            query = wire.parse(message)
        except wire.Malformed as error:
            return None if error.code is None else wire.refusal(message, error.code)
        if self._zone.holds(query.name):
            return self._zone.answer(query, 65535)
        return await self._forwarder.ask(query, message, tcp=True)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.datagram(data, cast(tuple[str, int], addr))

    def error_received(self, exc: Exception) -> None:
        log.debug("an answer could not be sent: %s", exc)

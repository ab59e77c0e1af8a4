"""An MQTT client of bare packets: it can do what no decent library does."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Message, Splitter

SECONDS = 20


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return struct.pack("!H", len(raw)) + raw


def framed(first: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes((first,)) + bytes(digits) + body


class RawClient:
    """Sends anything; gives what comes back as packets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.splitter = Splitter(10_000_000)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes] | None:
        """The next packet; None when the broker has closed the connection."""
        async with asyncio.timeout(SECONDS):
            while (packet := self.splitter.take()) is None:
                try:
                    data = await self.reader.read(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self.splitter.feed(data)
            return packet

    async def message(self) -> Message:
        """The next published message, acknowledged."""
        packet = await self.receive()
        assert packet is not None
        assert packet[0] >> 4 == packets.PUBLISH, packet
        found, number = packets.publish(*packet)
        if found.qos == 1:
            self.send(packets.acknowledgement(packets.PUBACK, number))
        return found

    async def log_in(
        self, name: str, *, clean: bool = True, will: Message | None = None, **login: str
    ) -> bytes:
        """Send CONNECT; gives the two bytes of CONNACK."""
        flags = 2 * clean
        rest = text(name)
        if will:
            flags |= 4 | will.qos << 3 | will.retain << 5
            rest += text(will.topic) + struct.pack("!H", len(will.payload)) + will.payload
        for bit, key in ((0x80, "user"), (0x40, "password")):
            if key in login:
                flags |= bit
                rest += text(login[key])
        keepalive = int(login.get("keepalive", "60"))
        self.send(framed(0x10, text("MQTT") + bytes((4, flags)) + struct.pack("!H", keepalive) + rest))
        packet = await self.receive()
        assert packet is not None
        assert packet[0] == 0x20
        return packet[1]

    async def subscribe(self, *patterns: str, qos: int = 0) -> list[int]:
        """Subscribe; gives the codes of SUBACK."""
        body = b"\0\1" + b"".join(text(pattern) + bytes((qos,)) for pattern in patterns)
        self.send(framed(0x82, body))
        packet = await self.receive()
        assert packet is not None
        assert packet[0] == 0x90
        return list(packet[1][2:])

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, number: int = 1
    ) -> None:
        """Publish, with whatever topic."""
        body = text(topic) + (struct.pack("!H", number) if qos else b"") + payload
        self.send(framed(0x30 | qos << 1 | retain, body))

    async def in_step(self) -> None:
        """Return once the broker has done all that it was sent so far, and nothing else came before."""
        self.send(b"\xc0\0")
        assert await self.receive() == (0xD0, b"")

    async def ended(self) -> bool:
        """Wait until the other side has hung up, whatever it says before."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(SECONDS):
                await self.reader.read(-1)
        return True

    async def leave(self) -> None:
        """Say goodbye, and return once the broker has done what that means."""
        self.send(b"\xe0\0")
        assert await self.receive() is None


@contextlib.asynccontextmanager
async def raw_client(port: int, name: str = "", **login: str) -> AsyncIterator[RawClient]:
    """A connection; logged in when it has a name."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = RawClient(reader, writer)
    try:
        if name:
            assert await client.log_in(name, **login) == b"\0\0"
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

"""A small DNS client: builds queries, reads answers, with a decoder of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field

TYPES = {"A": 1, "SOA": 6, "AAAA": 28, "SRV": 33, "TXT": 16, "ANY": 255}


def free_port() -> int:
    """A port of 127.0.0.1 that is free for both protocols."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return int(tcp.getsockname()[1])


@dataclass
class Answer:
    code: int
    flags: int
    records: list[tuple[str, int, int, bytes]] = field(default_factory=list)
    """Name, type, TTL and data of all sections."""
    counts: tuple[int, int, int] = (0, 0, 0)

    @property
    def truncated(self) -> bool:
        return bool(self.flags & 0x0200)

    def addresses(self) -> list[str]:
        return [".".join(map(str, data)) for _, kind, _, data in self.records[: self.counts[0]] if kind == 1]


def query(name: str, kind: str = "A", *, number: int = 7, edns: int = 0, klass: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split(".") if part)
    head = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1 if edns else 0)
    extra = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    return head + labels + b"\0" + struct.pack("!HH", TYPES[kind], klass) + extra


def read_name(data: bytes, at: int) -> tuple[str, int]:
    parts, end = [], 0
    for _ in range(64):
        length = data[at]
        if length >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", data, at)[0] & 0x3FFF
        elif length == 0:
            return ".".join(parts), end or at + 1
        else:
            parts.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
    raise AssertionError("a name without an end")


def decode(data: bytes) -> Answer:
    _, flags, questions, *counts = struct.unpack_from("!6H", data)
    at = 12
    for _ in range(questions):
        _, at = read_name(data, at)
        at += 4
    records = []
    for _ in range(sum(counts)):
        name, at = read_name(data, at)
        kind, _, ttl, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        records.append((name, kind, ttl, data[at : at + length]))
        at += length
    assert at == len(data)
    return Answer(flags & 15, flags, records, (counts[0], counts[1], counts[2]))


class _Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.put_nowait(data)


async def send_udp(port: int, *messages: bytes, host: str = "127.0.0.1") -> bytes:
    """Send all, and give the first answer."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(_Client, remote_addr=(host, port))
    try:
        for message in messages:
            transport.sendto(message)
        return await asyncio.wait_for(client.got.get(), 10)
    finally:
        transport.close()


async def ask(port: int, name: str, kind: str = "A", *, edns: int = 0, host: str = "127.0.0.1") -> Answer:
    return decode(await send_udp(port, query(name, kind, edns=edns), host=host))


async def ask_tcp(port: int, *messages: bytes) -> list[Answer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        answers = []
        for message in messages:
            writer.write(len(message).to_bytes(2, "big") + message)
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 10), "big")
            answers.append(decode(await reader.readexactly(length)))
        return answers
    finally:
        writer.close()

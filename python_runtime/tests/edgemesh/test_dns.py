"""The DNS server on real sockets: names of the cluster, names of others, and what is no query at all."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from tests.edgemesh.dnsclient import ask, ask_tcp, decode, free_port, query, read_name, send_udp
from tests.edgemesh.objects import endpoint_slice, member, service, table_of

from edgelab.daemon.errors import Fatal
from edgelab.edgemesh.dns.forward import Forwarder, Upstreams
from edgelab.edgemesh.dns.server import MOST_CONNECTIONS, DnsServer
from edgelab.edgemesh.dns.zone import Zone
from edgelab.edgemesh.table import Table

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
WEB = "nginx-svc.default.svc.cluster.local"
HOSTS = endpoint_slice(
    "db",
    member("10.0.0.2", hostname="db-0"),
    member("10.0.0.3", "edge2", hostname="db-1"),
    member("10.0.0.4", conditions={"ready": False}),
)
MANY = endpoint_slice("many", *[member(f"10.1.0.{number}") for number in range(100)])


@pytest.fixture
def table() -> Table:
    return table_of(
        service("nginx-svc"),
        service("db", "None"),
        HOSTS,
        service("many", "None"),
        MANY,
        service("dns", "10.96.0.53", namespace="kube-system", ports=[{"port": 53, "protocol": "UDP"}]),
    )


class Upstream(asyncio.DatagramProtocol):
    """Answers every question with 192.0.2.1, by TCP with 100 records; `lies` first with wrong ones."""

    def __init__(self) -> None:
        self.asked = 0
        self.lies = self.is_silent = False
        self.records = 1

    @staticmethod
    def reply(data: bytes, records: int, *, number: int | None = None, truncated: bool = False) -> bytes:
        _, end = read_name(data, 12)
        question = data[12 : end + 4]
        own = struct.unpack_from("!H", data)[0] if number is None else number
        flags = 0x8180 | (0x0200 if truncated else 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
        return struct.pack("!6H", own, flags, 1, records, 0, 0) + question + record * records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.is_silent:
            return
        if self.lies:
            number = struct.unpack_from("!H", data)[0]
            self.transport.sendto(self.reply(data, 3, number=number ^ 1), addr)
            other = query("other.example", number=number)
            self.transport.sendto(self.reply(other, 3), addr)
            self.transport.sendto(b"\0", addr)
        self.transport.sendto(self.reply(data, self.records), addr)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        answer = self.reply(data, 100)
        writer.write(len(answer).to_bytes(2, "big") + answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, int]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", free_port()))
    port = transport.get_extra_info("sockname")[1]
    async with await asyncio.start_server(protocol.connected, "127.0.0.1", port):
        yield protocol, port
    transport.close()


@pytest.fixture
async def server(table: Table, upstream: tuple[Upstream, int]) -> AsyncIterator[DnsServer]:
    upstreams = Upstreams("127.0.0.1", [f"127.0.0.1:{upstream[1]}"])
    server = DnsServer(
        Zone(table), Forwarder(upstreams, most=8, answer_seconds=0.5), "127.0.0.1", free_port()
    )
    await server.start()
    yield server
    await server.stop()


async def test_a_service_is_its_cluster_ip(server: DnsServer) -> None:
    answer = await ask(server.port, WEB)
    assert (answer.code, answer.addresses()) == (NOERROR, ["10.96.0.10"])
    assert answer.flags & 0x8580 == 0x8580, "an authoritative answer to a question with recursion"
    assert [ttl for _, kind, ttl, _ in answer.records if kind == 1] == [30]


async def test_names_are_the_same_in_any_case_and_the_question_comes_back_as_it_was(
    server: DnsServer,
) -> None:
    message = query("NGINX-svc.Default.SVC.cluster.LOCAL")
    data = await send_udp(server.port, message)
    assert decode(data).addresses() == ["10.96.0.10"]
    assert data[12 : len(message)] == message[12:]


async def test_a_headless_service_is_its_ready_endpoints_and_each_has_a_name(server: DnsServer) -> None:
    answer = await ask(server.port, "db.default.svc.cluster.local")
    assert sorted(answer.addresses()) == ["10.0.0.2", "10.0.0.3"]
    assert (await ask(server.port, "db-1.db.default.svc.cluster.local")).addresses() == ["10.0.0.3"]
    assert (await ask(server.port, "db-2.db.default.svc.cluster.local")).code == NXDOMAIN
    assert (await ask(server.port, "10-1-0-7.many.default.svc.cluster.local")).addresses() == ["10.1.0.7"]


async def test_srv_records_tell_port_and_target_with_its_address(server: DnsServer) -> None:
    answer = await ask(server.port, f"_http._tcp.{WEB}", "SRV")
    assert answer.counts == (1, 0, 1)
    _, kind, _, data = answer.records[0]
    assert (kind, struct.unpack_from("!HHH", data)) == (33, (0, 100, 18050))
    assert read_name(data, 6)[0] == WEB
    assert answer.records[1][0] == WEB
    headless = await ask(server.port, "_http._tcp.db.default.svc.cluster.local", "SRV")
    targets = sorted(read_name(data, 6)[0] for _, kind, _, data in headless.records if kind == 33)
    assert targets == [f"db-{number}.db.default.svc.cluster.local" for number in (0, 1)]
    assert (await ask(server.port, f"_https._tcp.{WEB}", "SRV")).code == NXDOMAIN
    assert (await ask(server.port, f"_http._udp.{WEB}", "SRV")).code == NXDOMAIN


@pytest.mark.parametrize("kind", ["AAAA", "TXT"])
async def test_other_types_of_a_name_that_exists_are_empty(server: DnsServer, kind: str) -> None:
    answer = await ask(server.port, WEB, kind)
    assert (answer.code, answer.counts) == (NOERROR, (0, 1, 0))
    assert answer.records[0][:2] == ("cluster.local", 6)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("none.default.svc.cluster.local", NXDOMAIN),
        ("nginx-svc.other.svc.cluster.local", NXDOMAIN),
        ("other.svc.cluster.local", NXDOMAIN),
        ("a.b.c.d.nginx-svc.default.svc.cluster.local", NXDOMAIN),
        ("pods.cluster.local", NXDOMAIN),
        ("nginx-svc.default.svc.cluster.local.svc.cluster.local", NXDOMAIN),
        ("kube-system.svc.cluster.local", NOERROR),
        ("svc.cluster.local", NOERROR),
        ("cluster.local", NOERROR),
    ],
)
async def test_names_of_the_cluster_never_leave_it(
    server: DnsServer, upstream: tuple[Upstream, int], name: str, code: int
) -> None:
    answer = await ask(server.port, name)
    assert (answer.code, answer.counts[0]) == (code, 0)
    assert upstream[0].asked == 0


async def test_before_anything_is_known_nothing_is_denied(server: DnsServer, table: Table) -> None:
    table.is_synced = False
    assert (await ask(server.port, WEB)).code == SERVFAIL


async def test_what_is_too_long_for_a_datagram_comes_by_tcp(server: DnsServer) -> None:
    name = "many.default.svc.cluster.local"
    short = await ask(server.port, name)
    assert (short.truncated, short.counts) == (True, (0, 0, 0))
    assert (await ask(server.port, name, edns=4096)).truncated, "100 records do not fit 1,232 bytes"
    whole, again = await ask_tcp(server.port, query(name), query(WEB))
    assert len(whole.addresses()) == 100
    assert again.addresses() == ["10.96.0.10"]


async def test_a_client_with_edns_gets_it_and_one_without_does_not(server: DnsServer) -> None:
    assert [kind for _, kind, _, _ in (await ask(server.port, WEB, edns=1400)).records] == [1, 41]
    assert [kind for _, kind, _, _ in (await ask(server.port, WEB)).records] == [1]


async def test_other_names_are_asked_of_the_hosts_name_server(
    server: DnsServer, upstream: tuple[Upstream, int]
) -> None:
    assert (await ask(server.port, "www.example.org")).addresses() == ["192.0.2.1"]
    (answer,) = await ask_tcp(server.port, query("www.example.org"))
    assert len(answer.addresses()) == 100
    upstream[0].records = 60
    assert (await ask(server.port, "www.example.org")).truncated


async def test_an_answer_to_something_else_is_not_believed(
    server: DnsServer, upstream: tuple[Upstream, int]
) -> None:
    upstream[0].lies = True
    assert (await ask(server.port, "www.example.org")).addresses() == ["192.0.2.1"]


async def test_a_silent_name_server_costs_a_failure_and_holds_up_nobody(
    server: DnsServer, upstream: tuple[Upstream, int]
) -> None:
    upstream[0].is_silent = True
    waiting = [asyncio.create_task(ask(server.port, f"w{number}.example.org")) for number in range(30)]
    assert (await ask(server.port, WEB)).addresses() == ["10.96.0.10"]
    assert {answer.code for answer in await asyncio.gather(*waiting)} == {SERVFAIL}
    assert upstream[0].asked <= 8


def pointer_to_itself() -> bytes:
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!HH", 1, 1)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (pointer_to_itself(), FORMERR),
        (struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\x03www\xc0\x0c" + struct.pack("!HH", 1, 1), FORMERR),
        (struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\x3fshort", FORMERR),
        (
            struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\x01a" * 200 + b"\0" + struct.pack("!HH", 1, 1),
            FORMERR,
        ),
        (struct.pack("!6H", 7, 0x0100, 2, 0, 0, 0) + query(WEB)[12:] * 2, FORMERR),
        (struct.pack("!6H", 7, 0x0100, 0, 0, 0, 0), FORMERR),
        (query(WEB)[:-1], FORMERR),
        (struct.pack("!H", 7) + b"\x28\x00" + query(WEB)[4:], NOTIMP),
        (query(WEB, klass=3), REFUSED),
    ],
)
async def test_what_is_no_question_is_refused(server: DnsServer, message: bytes, code: int) -> None:
    assert decode(await send_udp(server.port, message)).code == code
    assert (await ask(server.port, WEB)).addresses() == ["10.96.0.10"]


async def test_an_answer_is_never_answered(server: DnsServer) -> None:
    response = struct.pack("!H", 9) + b"\x81\x80" + query(WEB)[4:]
    data = await send_udp(server.port, response, b"short", query(WEB, number=11))
    assert struct.unpack_from("!H", data) == (11,)


async def test_noise_does_not_stop_it(server: DnsServer) -> None:
    noise = random.Random(53)
    base = query(WEB, edns=1232)
    for _ in range(3000):
        data = bytearray(base)
        for _ in range(noise.randint(1, 12)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        server.datagram(bytes(data[: noise.randint(0, len(data))]), ("127.0.0.1", 9))
    assert (await ask(server.port, WEB)).addresses() == ["10.96.0.10"]


async def test_connections_are_bounded(server: DnsServer) -> None:
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MOST_CONNECTIONS)]
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 10)
        writer.close()
    finally:
        for _, other in held:
            other.close()


async def test_a_taken_port_is_told_by_its_setting(server: DnsServer, table: Table) -> None:
    second = DnsServer(Zone(table), Forwarder(Upstreams("")), "127.0.0.1", server.port)
    with pytest.raises(Fatal, match=r"modules\.edgeDNS: cannot listen on 127\.0\.0\.1:"):
        await second.start()


def test_the_hosts_name_servers_are_read_without_itself_and_again_when_they_change(tmp_path: Path) -> None:
    now = [0.0]
    resolved, plain = tmp_path / "resolved", tmp_path / "resolv.conf"
    plain.write_text("# none\nsearch a.b\nnameserver 169.254.96.16\nnameserver 192.0.2.53\nnameserver ::1\n")
    upstreams = Upstreams("169.254.96.16", files=(resolved, plain), monotonic=lambda: now[0])
    assert upstreams.servers() == [("192.0.2.53", 53)]
    resolved.write_text("nameserver 192.0.2.54\n")
    now[0] = 10.0
    assert upstreams.servers() == [("192.0.2.54", 53)]

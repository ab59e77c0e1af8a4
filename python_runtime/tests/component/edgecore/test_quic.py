"""CloudCore and EdgeCore joined by QUIC, over real UDP on loopback and with real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aioquic.buffer import Buffer
from aioquic.quic.packet import encode_quic_version_negotiation, pull_quic_header
from tests.cloudcore.cloud import PROJECT, Cloud, about, eventually, running
from tests.cloudcore.test_faults import certify, said
from tests.component.edgecore.relay import relaying

from edgelab.cloudcore.cloudhub import quic as listener_module
from edgelab.cloudcore.cloudhub.link import MESSAGE_LIMIT
from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.cloudcore.cloudhub.quic import QuicListener
from edgelab.cloudcore.cloudhub.tls import bind
from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.edgehub import quic
from edgelab.edgecore.edgehub.link import Disconnected, Distrusted, Endpoint
from edgelab.edgecore.edgehub.quicwire import Wire
from edgelab.identity.ca import CertificateAuthority
from edgelab.identity.proof import Prover
from edgelab.kube.resources import CONFIG_MAPS
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.settings.cloudcore import CloudHubQUIC, CloudHubWebSocket

GOOGLE = "does not speak our QUIC (a Go CloudCore speaks another); use modules.edgeHub.websocket"


def listening(port: int = 0, most: int = 100) -> CloudHubQUIC:
    return CloudHubQUIC(enable=True, address="127.0.0.1", port=port, maxIncomingStreams=most)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path / "cloud", quic=listening()) as found:
        await found.node()
        certify(found)
        yield found


def endpoint(cloud: Cloud, node: str = "edge1", **changes: Any) -> Endpoint:
    files = cloud.request(node)
    made = Endpoint(
        server=f"127.0.0.1:{cloud.quic_port}",
        node=node,
        project=PROJECT,
        ca_file=files.ca_file,
        cert_file=files.cert_file,
        key_file=files.key_file,
        handshake_timeout=20,
        write_timeout=20,
        dead_peer=15,
    )
    return dataclasses.replace(made, **changes)


async def reply_to(link: quic.StreamConnection, request: Message) -> Message:
    await link.send(wire.encode(request))
    return await first(link, lambda message: message.parent_id == request.id)


async def first(link: quic.StreamConnection, wanted: Callable[[Message], bool]) -> Message:
    async with asyncio.timeout(60):
        while not wanted(message := wire.decode(await link.receive())):
            pass
    return message


def question() -> Message:
    return wire.new(source="edged", group="meta", operation="query", resource="k8s/ca.crt", content=None)


def message_of(resource: str, size: int) -> Message:
    return wire.new(source="edged", group="meta", operation="query", resource=resource, content="z" * size)


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def refused(connecting: AbstractAsyncContextManager[Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        await connecting.__aenter__()
    return str(caught.value)


def underneath(link: quic.StreamConnection) -> Wire:
    return link._wire


async def test_messages_go_both_ways_and_are_acknowledged(cloud: Cloud) -> None:
    async with quic.open_connection(endpoint(cloud)) as link:
        assert (await reply_to(link, question())).value() == "kube ca"
        pod = await cloud.pod()
        pushed = await first(link, lambda message: about(message)[1] == "default/pod/web")
        assert pushed.object()["metadata"]["uid"] == pod["metadata"]["uid"]
        hub = cloud.hub
        assert hub.counts["acknowledged"] == 0
        await link.send(wire.encode(wire.reply(pushed, "OK")))
        await eventually(lambda: hub.counts["acknowledged"] == 1)
        assert 0 <= link.silence() < 15
    await eventually(lambda: not hub.connected("edge1"))


def test_both_ends_work_on_the_other_event_loop(tmp_path: Path) -> None:
    """uvloop has its own UDP transports; CloudCore runs on it where it is installed."""

    async def joined() -> None:
        async with running(tmp_path / "cloud", quic=listening()) as cloud:
            await cloud.node()
            certify(cloud)
            async with quic.open_connection(endpoint(cloud)) as link:
                await link.send(wire.encode(message_of("default/nonsense/a", 3 << 20)))
                assert (await reply_to(link, question())).value() == "kube ca"
            connecting = quic.open_connection(endpoint(cloud, server=server))
            assert "connection refused" in await refused(connecting, Unreachable)

    server = f"127.0.0.1:{unused_port()}"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(joined())


async def test_a_cloud_may_have_quic_alone(tmp_path: Path) -> None:
    async with running(tmp_path, quic=listening(), websocket=CloudHubWebSocket(enable=False)) as cloud:
        await cloud.node()
        certify(cloud)
        async with quic.open_connection(endpoint(cloud)) as link:
            assert (await reply_to(link, question())).value() == "kube ca"


async def test_who_does_not_say_who_it_is_is_sent_away(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener_module, "OPEN_SECONDS", 0.2)
    monkeypatch.setattr(quic, "_introduce", wait)
    with pytest.raises(Disconnected, match="no proof came"):
        await quic.open_connection(endpoint(cloud)).__aenter__()
    await eventually(lambda: any("did not say who it is for 0.2 s" in line for line in caplog.messages))


async def wait(wire: Wire, *_: Any) -> None:
    await wire.receive()


async def test_a_message_of_many_megabytes_arrives_in_both_directions(cloud: Cloud) -> None:
    async with quic.open_connection(endpoint(cloud)) as link:
        await cloud.pod(volumes=[{"name": "v", "configMap": {"name": "big"}}])
        await first(link, lambda message: about(message)[1] == "default/pod/web")
        big = {"metadata": {"name": "big"}, "data": {"x": "y" * (3 << 20)}}
        await cloud.api.create(CONFIG_MAPS, big, "default")
        pushed = await first(link, lambda message: about(message)[1] == "default/configmap/big")
        assert len(pushed.object()["data"]["x"]) == 3 << 20
        nonsense = wire.new(
            source="edged",
            group="meta",
            operation="query",
            resource="default/nonsense/a",
            content="z" * (3 << 20),
        )
        for _ in range(3):
            await link.send(wire.encode(nonsense))
        assert (await reply_to(link, question())).value() == "kube ca"


async def test_the_edge_does_not_trust_a_cloud_of_another_authority(cloud: Cloud, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(CertificateAuthority.create("KubeEdge").cert_pem)
    text = await refused(quic.open_connection(endpoint(cloud, ca_file=other)), Distrusted)
    assert f"not signed by {other}" in text


async def test_the_edge_does_not_trust_a_certificate_for_another_address(cloud: Cloud) -> None:
    server = f"localhost:{cloud.quic_port}"
    text = await refused(quic.open_connection(endpoint(cloud, server=server)), Distrusted)
    assert "for this address" in text


async def test_the_edge_does_not_trust_a_certificate_that_is_for_clients(
    cloud: Cloud, tmp_path: Path
) -> None:
    pair = cloud.pki.ca.issue(common_name="KubeEdge", ip_addresses=["127.0.0.1"], client=True)
    sock = bind("127.0.0.1", 0, "test", socket.SOCK_DGRAM)
    server = f"127.0.0.1:{sock.getsockname()[1]}"
    listener = QuicListener(cloud.reception, sock, Pki(cloud.pki.ca, pair), most=9)
    task = asyncio.create_task(listener.run(), name="false cloud")
    text = await refused(quic.open_connection(endpoint(cloud, server=server)), Distrusted)
    task.cancel()
    await asyncio.wait([task])
    assert "not meant for servers" in text


async def test_the_cloud_does_not_accept_a_certificate_of_another_authority(cloud: Cloud) -> None:
    pair = CertificateAuthority.create("KubeEdge").issue(common_name="system:node:edge1", client=True)
    files = cloud.request()
    files.cert_file.write_bytes(pair.cert_pem)
    files.key_file.write_bytes(pair.key_pem)
    text = await refused(quic.open_connection(endpoint(cloud)), Distrusted)
    assert "not signed by this authority" in text
    assert text.endswith("join again")
    assert not cloud.hub.connected("edge1")


async def test_a_proof_for_another_connection_is_none(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = Prover.sign
    recorded: list[bytes] = []

    def first_only(self: Prover, statement: bytes) -> bytes:
        recorded.append(sign(self, statement))
        return recorded[0]

    monkeypatch.setattr(Prover, "sign", first_only)
    async with quic.open_connection(endpoint(cloud)):
        text = await refused(quic.open_connection(endpoint(cloud)), Distrusted)
    assert "not for this connection" in text


async def test_another_nodes_name_is_refused_and_told_to_its_owner(cloud: Cloud) -> None:
    await cloud.node("edge2")
    claiming = dataclasses.replace(endpoint(cloud), node="edge2")
    text = await refused(quic.open_connection(claiming), Distrusted)
    assert "403" in text
    assert "the certificate is for 'system:node:edge1'" in text
    await eventually(lambda: said(cloud, "NodeNameMismatch") is not None)
    assert said(cloud, "NodeNameMismatch", "edge2") is None


async def test_a_certificate_that_ended_is_refused_by_name(cloud: Cloud) -> None:
    certify(cloud, ago=dt.timedelta(days=30), days=1)
    text = await refused(quic.open_connection(endpoint(cloud)), Distrusted)
    assert "the certificate ended at" in text
    await eventually(lambda: said(cloud, "CertificateExpired") is not None)


async def test_a_revoked_certificate_ends_the_session_and_is_refused(cloud: Cloud) -> None:
    serial = certify(cloud)
    async with quic.open_connection(endpoint(cloud)) as link:
        await reply_to(link, question())
        revoked = {"metadata": {"name": "edgelab-revoked"}, "data": {f"serial.{serial:x}": "lost"}}
        await cloud.api.create(CONFIG_MAPS, revoked, "kubeedge")
        with pytest.raises(Disconnected, match="was revoked"):
            await first(link, lambda message: False)
        assert underneath(link).closed is not None
        assert underneath(link).closed.code == 1008
    text = await refused(quic.open_connection(endpoint(cloud)), Distrusted)
    assert "was revoked: lost" in text


async def test_a_message_over_the_limit_ends_the_session_before_it_comes(cloud: Cloud) -> None:
    async with quic.open_connection(endpoint(cloud)) as link:
        await reply_to(link, question())
        underneath(link)._write((MESSAGE_LIMIT + 1).to_bytes(4, "big"))
        with pytest.raises(Disconnected, match="more than 67108864"):
            await first(link, lambda message: False)
    await eventually(lambda: said(cloud, "MessageTooLarge") is not None)


async def test_the_opening_must_be_short_and_be_one(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "headers", {"node_id": "x" * 70_000})
    assert "more than 65536" in await refused(quic.open_connection(endpoint(cloud)), Unreachable)
    monkeypatch.setattr(Endpoint, "headers", {"node_id": 7})
    assert "400" in await refused(quic.open_connection(endpoint(cloud)), Unreachable)
    monkeypatch.setattr(Endpoint, "headers", {})
    assert "node_id must be there once" in await refused(quic.open_connection(endpoint(cloud)), Unreachable)


async def test_a_second_stream_ends_the_session(cloud: Cloud) -> None:
    async with quic.open_connection(endpoint(cloud)) as link:
        underneath(link)._quic.send_stream_data(4, b"x")
        underneath(link).transmit()
        with pytest.raises(Disconnected, match="more than one stream"):
            await first(link, lambda message: False)


async def test_the_newest_connection_of_a_node_wins(cloud: Cloud) -> None:
    async with quic.open_connection(endpoint(cloud)) as older:
        await reply_to(older, question())
        async with quic.open_connection(endpoint(cloud)) as newer:
            with pytest.raises(Disconnected, match="took over"):
                await first(older, lambda message: False)
            assert (await reply_to(newer, question())).value() == "kube ca"
        await eventually(lambda: not cloud.hub.connected("edge1"))
        edge = await cloud.dial()  # by WebSocket: the same sessions, whatever carries them
        async with quic.open_connection(endpoint(cloud)) as link:
            await edge.closed()
            await reply_to(link, question())


async def test_packets_of_strangers_change_nothing(cloud: Cloud) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", cloud.quic_port))
        for packet in (b"", b"\0", b"\xff" * 1200, b"\x40" * 1200, b"GET / HTTP/1.1\r\n\r\n"):
            stranger.send(packet)
        async with quic.open_connection(endpoint(cloud)) as link:
            assert (await reply_to(link, question())).value() == "kube ca"


async def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path, quic=listening(most=1)) as cloud:
        for node in ("edge1", "edge2"):
            await cloud.node(node)
            certify(cloud, node)
        async with quic.open_connection(endpoint(cloud)):
            text = await refused(quic.open_connection(endpoint(cloud, "edge2")), Unreachable)
            assert "503 modules.cloudHub.quic.maxIncomingStreams is 1" in text


async def test_a_node_that_reads_nothing_is_let_go(tmp_path: Path) -> None:
    async with running(tmp_path, quic=listening(), writeTimeout=1) as cloud:
        await cloud.node()
        certify(cloud)
        async with quic.open_connection(endpoint(cloud)) as link:
            await reply_to(link, question())
            for _ in range(3):
                cloud.hub.send("edge1", message_of("default/pod/a", 1 << 20))
            await eventually(lambda: not cloud.hub.connected("edge1"))


async def test_a_port_where_nobody_listens_is_said_at_once(cloud: Cloud) -> None:
    server = f"127.0.0.1:{unused_port()}"
    text = await refused(quic.open_connection(endpoint(cloud, server=server)), Unreachable)
    assert "connection refused" in text


async def test_a_port_that_is_silent_is_given_up_in_time(cloud: Cloud) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        text = await refused(
            quic.open_connection(endpoint(cloud, server=server, handshake_timeout=0.5)), Unreachable
        )
    assert "no answer by UDP within 0.5 s" in text


async def test_what_strangers_write_stays_on_its_line(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    monkey = "W edgelab: forged"
    close = Wire.close

    def closing(self: Wire, error_code: int = 0, reason_phrase: str = "") -> None:
        close(self, error_code, f"bye\n{monkey}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "close", closing)
        for _ in range(2):
            async with quic.open_connection(endpoint(cloud)):
                pass
        patch.setattr(quic, "_introduce", leave)
        for _ in range(3):
            await refused(quic.open_connection(endpoint(cloud)), Unreachable)
        await eventually(lambda: any("left before" in line for line in caplog.messages))
    assert not any(monkey in line for text in caplog.messages for line in text.split("\n")[1:])
    assert len([line for line in caplog.messages if "left before" in line]) == 1


async def leave(*_: Any) -> None:
    raise Unreachable("changed its mind")


class OtherVersions(asyncio.DatagramProtocol):
    """A server of Google QUIC, as far as RFC 9000 peers get to know it: it names its versions."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        answer = encode_quic_version_negotiation(
            source_cid=header.destination_cid,
            destination_cid=header.source_cid,
            supported_versions=[int.from_bytes(version, "big") for version in (b"Q044", b"Q043", b"Q039")],
        )
        self._transport.sendto(answer, addr)


async def test_a_server_of_google_quic_is_named_as_what_it_is(cloud: Cloud) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(OtherVersions, local_addr=("127.0.0.1", 0))
    with contextlib.closing(transport):
        server = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
        text = await refused(quic.open_connection(endpoint(cloud, server=server)), Unreachable)
    assert text == f"{server} {GOOGLE}"


async def test_a_server_of_another_protocol_is_named_as_what_it_is(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quic, "ALPN", "h3")
    assert (await refused(quic.open_connection(endpoint(cloud)), Unreachable)).endswith(GOOGLE)


async def test_a_node_whose_address_changes_keeps_its_session(cloud: Cloud) -> None:
    """As behind a router that forgets: the same connection from another port."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relaying(cloud.quic_port))
        server = f"127.0.0.1:{relay.port}"
        link = await stack.enter_async_context(quic.open_connection(endpoint(cloud, server=server)))
        await reply_to(link, question())
        await relay.move()
        assert (await reply_to(link, question())).value() == "kube ca"
    assert cloud.hub.counts["connections"] == 1

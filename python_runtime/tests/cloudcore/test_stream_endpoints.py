"""Tunnels of a whole CloudCore: who is let in, and where API servers are told to go."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Api, Cloud, eventually, running
from tests.cloudcore.test_monitor import fetch
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edgelab.cloudcore.cloudstream.kubeletport import Endpoint, endpoint_in, with_endpoint
from edgelab.cloudcore.cloudstream.listeners import Listeners, NoPort
from edgelab.cloudcore.cloudstream.start import address_of
from edgelab.cloudcore.cloudstream.tunnelport import ANNOTATION, negotiate
from edgelab.identity.ca import CertificateAuthority
from edgelab.kube.resources import CONFIG_MAPS, NODES
from edgelab.protocol import tunnel as wire
from edgelab.settings.cloudcore import CloudCore
from edgelab.settings.cloudcore_stream import Stream

KUBE_CA = CertificateAuthority.create("cluster").cert_pem
OWN = {
    "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": "edge1"}],
    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10350}},
}


def free_ports(count: int) -> int:
    """The first of some ports in a row that are free."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return int(first)


def stream(first: int = 0, **more: Any) -> Stream:
    first = first or free_ports(4)
    return Stream(address="127.0.0.1", firstPort=first, lastPort=first + 3, **more)


@contextlib.asynccontextmanager
async def tunnel(
    cloud: Cloud, node: str = "edge1", *, claims: str | None = None, path: str = wire.PATH, **headers: str
) -> AsyncIterator[ClientConnection]:
    await cloud.enrol(node)
    files = cloud.request(node)
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.load_cert_chain(files.cert_file, files.key_file)
    assert cloud.sockets.tunnels is not None
    port = cloud.sockets.tunnels.getsockname()[1]
    claimed = {wire.NODE_HEADER: claims or node} if claims != "" else {}
    async with connect(
        f"wss://127.0.0.1:{port}{path}",
        ssl=context,
        compression=None,
        additional_headers={**claimed, wire.ADDRESS_HEADER: "192.0.2.7", **headers},
    ) as connection:
        yield connection


def published(cloud: Cloud, node: str = "edge1") -> Endpoint | None:
    found = cloud.api.objects.get(NODES, {}).get(("", node))
    return endpoint_in(found) if found else None


async def test_a_tunnel_s_node_is_published_and_what_the_node_says_does_not_undo_it(tmp_path: Path) -> None:
    own = stream()
    async with running(tmp_path, kube_ca=KUBE_CA, stream=own) as cloud:
        async with tunnel(cloud) as connection:
            assert wire.FEATURES not in connection.response.headers
            edge = await cloud.join()
            await edge.ask("default/node/edge1", "insert", {"metadata": {"name": "edge1"}, "status": OWN})
            wanted = Endpoint("127.0.0.1", own.firstPort)
            await eventually(lambda: published(cloud) == wanted)
            # What the original's kubelet makes of it: its own port, and no address that it does not know.
            patch = {
                "status": {
                    "$setElementOrder/addresses": [{"type": "InternalIP"}, {"type": "Hostname"}],
                    "addresses": [{"$patch": "delete", "type": "InternalDNS"}],
                    "daemonEndpoints": OWN["daemonEndpoints"],
                    "phase": "seen",
                }
            }
            await edge.ask("null/nodepatch/edge1", "patch", json.dumps(patch))
            await edge.ask("null/nodepatch/edge1", "patch", json.dumps({"status": OWN}))
            assert published(cloud) == wanted
            addresses = cloud.api.objects[NODES]["", "edge1"]["status"]["addresses"]
            assert {item["type"] for item in addresses} == {"InternalIP", "Hostname", "InternalDNS"}
            _, text = await fetch(cloud, "/metrics")
            assert "edgelab_cloudstream_tunnels 1" in text
            assert "edgelab_cloudstream_connections 0" in text
            await edge.close()
        # Without its tunnel the endpoint stays, and says what is missing.
        reader, writer = await asyncio.open_connection(*wanted, ssl=_any())
        writer.write(b"GET /containerLogs/default/x/c HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 401 ")
        writer.close()


def _any() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_a_node_gets_its_port_back_and_no_other_node_has_it(tmp_path: Path) -> None:
    own, api = stream(), Api()
    async with running(tmp_path, api, kube_ca=KUBE_CA, stream=own) as cloud:
        for name in ("edge1", "edge2"):
            await cloud.node(name)
            async with tunnel(cloud, name):
                await eventually(lambda name=name: published(cloud, name) is not None)
        first, second = published(cloud), published(cloud, "edge2")
    assert {first, second} == {Endpoint("127.0.0.1", own.firstPort + n) for n in (0, 1)}
    async with running(tmp_path, api, kube_ca=KUBE_CA, stream=own) as cloud:
        await cloud.node("edge3")
        async with tunnel(cloud, "edge3"):
            await eventually(lambda: published(cloud, "edge3") is not None)
        assert published(cloud, "edge3") not in (first, second)
        async with tunnel(cloud, "edge2"):
            await eventually(lambda: published(cloud, "edge2") == second)


async def test_a_node_that_registers_after_its_tunnel_is_published(tmp_path: Path) -> None:
    async with running(tmp_path, kube_ca=KUBE_CA, stream=stream()) as cloud, tunnel(cloud):
        await asyncio.sleep(0.05)
        await cloud.node()
        await eventually(lambda: published(cloud) is not None)


@pytest.mark.parametrize(
    ("claims", "path", "status"),
    [("edge2", wire.PATH, 403), ("", wire.PATH, 400), ("edge1", "/other", 404)],
)
async def test_who_claims_another_node_is_refused(
    tmp_path: Path, claims: str, path: str, status: int
) -> None:
    async with running(tmp_path, kube_ca=KUBE_CA, stream=stream()) as cloud:
        with pytest.raises(InvalidStatus) as refused:
            async with tunnel(cloud, claims=claims, path=path):
                pass
        assert refused.value.response.status_code == status
        if status == 403:
            assert b"SessionHostNameOverride says 'edge2', but the certificate is for" in (
                refused.value.response.body or b""
            )


async def test_our_own_edge_is_known_by_its_header(tmp_path: Path) -> None:
    known = {wire.FEATURES: wire.VERSION}
    async with (
        running(tmp_path, kube_ca=KUBE_CA, stream=stream()) as cloud,
        tunnel(cloud, **known) as connection,
    ):
        assert connection.response.headers[wire.FEATURES] == wire.VERSION


async def test_a_revoked_certificate_ends_its_tunnel(tmp_path: Path) -> None:
    async with running(tmp_path, kube_ca=KUBE_CA, stream=stream()) as cloud:
        async with tunnel(cloud) as connection:
            now = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
            data = {"node.edge1": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
            body = {"metadata": {"name": "edgelab-revoked", "namespace": "kubeedge"}, "data": data}
            await cloud.api.create(CONFIG_MAPS, body, "kubeedge")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(connection.recv(), 20)
        with pytest.raises(InvalidStatus):
            async with tunnel(cloud):
                pass


async def test_with_the_tunnel_port_only_that_is_published(tmp_path: Path) -> None:
    async with running(tmp_path, kube_ca=KUBE_CA, stream=stream(mode="tunnelport")) as cloud:
        await cloud.node()
        async with tunnel(cloud):
            await eventually(lambda: bool(cloud.api.objects[NODES]["", "edge1"].get("status")))
        status = cloud.api.objects[NODES]["", "edge1"]["status"]
        assert status == {"daemonEndpoints": {"kubeletEndpoint": {"Port": 10351}}}
        record = await cloud.api.get(CONFIG_MAPS, "tunnelport", "kubeedge")
        text = record["metadata"]["annotations"][ANNOTATION]
        assert json.loads(text) == {"ipTunnelPort": {"127.0.0.1": 10351}, "port": {"10351": True}}


async def test_each_cloudcore_has_a_tunnel_port_of_its_own() -> None:
    api = Api()
    assert await negotiate(api, "kubeedge", "192.0.2.1") == 10351
    assert await negotiate(api, "kubeedge", "192.0.2.2") == 10352
    assert await negotiate(api, "kubeedge", "192.0.2.1") == 10351


def test_api_servers_are_sent_to_an_address_of_this_host() -> None:
    settings = CloudCore()
    settings.kubeAPIConfig.kubeConfig = "/some/file"
    settings.modules.cloudHub.advertiseAddress = ["203.0.113.9", "127.0.0.1"]
    assert address_of(settings) == "127.0.0.1"
    settings.modules.cloudHub.advertiseAddress = ["203.0.113.9"]
    assert address_of(settings) == "203.0.113.9"
    settings.edgelab.stream.address = "192.0.2.3"
    assert address_of(settings) == "192.0.2.3"


async def test_ports_are_kept_and_run_out_with_a_word() -> None:
    first = free_ports(3)

    async def listen(sock: socket.socket, node: str) -> asyncio.Server:
        return await asyncio.start_server(lambda *_: None, sock=sock)

    listeners = Listeners("127.0.0.1", first, first + 2, listen)
    assert await listeners.open("a", first + 1, ()) == first + 1
    assert await listeners.open("a", first, ()) == first + 1
    assert await listeners.open("b", 99, {first}) == first + 2
    with pytest.raises(NoPort, match="node c has no port"):
        await listeners.open("c", 0, {first})
    listeners.forget("a")
    assert await listeners.open("c", 0, {first}) == first + 1
    listeners.close()
    away = Listeners("192.0.2.77", first, first, listen)  # an address of NAT
    assert await away.open("a", 0, ()) == first
    away.close()


def test_a_status_keeps_what_it_does_not_speak_of() -> None:
    here = Endpoint("192.0.2.1", 10351)
    assert with_endpoint({"conditions": []}, here) == {"conditions": []}
    assert with_endpoint({"addresses": None}, here)["addresses"] == [
        {"type": "InternalDNS", "address": "192.0.2.1"}
    ]
    only_port = with_endpoint(OWN, Endpoint("", 10351))
    assert only_port == {**OWN, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10351}}}

"""Names and ports of Services on a real node: for the host, for pods, without the cloud; and nothing left."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.component.edgemesh.lab import (
    MESH_IP,
    NGINX,
    NODE_IP,
    UPSTREAM,
    URL,
    MeshLab,
    busybox,
    curl,
    network,
    pod,
    resident,
    service,
    sh,
    until,
)
from tests.component.metaserver.lab import BIN, Process
from tests.edgemesh.objects import endpoint_slice, member

ALL_MIB, MESH_MIB, MAPPER_MIB = 103, 30.5, 29


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshLab]:
    directory = tmp_path_factory.mktemp("mesh")
    with pytest.MonkeyPatch.context() as patch, network(directory) as runtime:
        patch.setenv("CHECK_EDGECORE_ENVIRONMENT", "false")
        lab = MeshLab(directory, runtime)
        try:
            lab.begin()
            lab.apply(
                pod("web", "web", NGINX),
                pod("client", "client", busybox("sleep", "100000")),
                service("nginx-svc", "web", [{"port": 18050, "targetPort": 80}]),
                service("headless", "web", [{"port": 80}], clusterIP="None"),
                service("nobody", "nobody", [{"port": 80}]),
            )
            for name in ("web", "client"):
                lab.ready(name)
            yield lab
        finally:
            lab.finish()


@pytest.fixture
def mesh(lab: MeshLab) -> Iterator[MeshLab]:
    before = state()
    lab.mesh.start()
    yield lab
    lab.mesh.stop()
    assert state() == before, "the host is as it was"


def state() -> tuple[str, ...]:
    return (
        sh("ip", "-br", "link"),
        sh("ip", "-4", "-br", "addr"),
        sh("ip", "-4", "route", "show", "table", "all"),
        sh("nft", "list", "tables"),
        Path("/etc/resolv.conf").read_text(),
    )


async def serves(url: str) -> str:
    """The body, as soon as there is one."""
    async with asyncio.timeout(30):
        while not (body := await curl(url)):
            await asyncio.sleep(0.1)
    return body


async def test_the_hosts_own_programs_reach_a_service_by_name_and_port(mesh: MeshLab) -> None:
    assert "Welcome to nginx!" in await serves(URL)
    assert Path("/etc/resolv.conf").read_text().endswith(UPSTREAM)


async def test_a_pod_does_so_by_each_of_its_names(mesh: MeshLab) -> None:
    await serves(URL)
    names = ("nginx-svc", "nginx-svc.default", "nginx-svc.default.svc.cluster.local")
    for name in names:
        done = mesh.in_pod("client", "wget", "-q", "-O", "-", f"http://{name}:18050")
        assert "Welcome to nginx!" in done.stdout, done.stderr


async def test_a_headless_service_is_its_pods(mesh: MeshLab) -> None:
    assert "Welcome to nginx!" in await serves("http://headless.default.svc.cluster.local")


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(NODE_IP, 0))
    yield int(transport.get_extra_info("sockname")[1])
    transport.close()


async def test_datagrams_reach_a_service_too(mesh: MeshLab, echo_port: int) -> None:
    port = {"name": "echo", "port": 2701, "protocol": "UDP"}
    echo = service("echo", "", [port])
    del echo["spec"]["selector"]
    members = endpoint_slice("echo", member(NODE_IP), ports=[{**port, "port": echo_port}])
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
    mesh.apply(echo, {**kind, **members})
    address = mesh.kubectl("get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await echoed(sock, address)
        mesh.mesh.stop()
        mesh.mesh.start()
        await echoed(sock, address)


async def echoed(sock: socket.socket, address: str) -> None:
    """Send from the same port again and again, as resolvers and loggers do, until it comes back."""
    async with asyncio.timeout(30):
        while True:
            try:
                sock.sendto(b"hello", (address, 2701))
                await asyncio.sleep(0.1)
                assert sock.recvfrom(100) == (b"hello", (address, 2701))
                return
            except OSError:
                await asyncio.sleep(0.1)


async def test_what_no_endpoint_serves_is_refused_at_once(mesh: MeshLab) -> None:
    await serves(URL)
    for name, port in (("nobody", 80), ("nginx-svc", 22), ("kubernetes", 443)):
        address = mesh.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
        with socket.socket() as sock:
            sock.settimeout(10)
            with pytest.raises(ConnectionRefusedError):
                sock.connect((address, port))


async def test_a_program_of_the_host_may_listen_where_a_service_does(mesh: MeshLab) -> None:
    await serves(URL)
    with socket.create_server(("0.0.0.0", 18050)):
        assert "Welcome to nginx!" in await curl(URL)


async def test_names_of_others_are_not_its_own(mesh: MeshLab) -> None:
    assert "NXDOMAIN" in nslookup(mesh, "none.default.svc.cluster.local")


def nslookup(mesh: MeshLab, name: str) -> str:
    done = mesh.in_pod("client", "nslookup", name, MESH_IP)
    return done.stdout + done.stderr


async def test_it_goes_on_without_the_cloud_and_starts_without_it(lab: MeshLab) -> None:
    lab.mesh.start()
    await serves(URL)
    lab.cloud.stop(signal.SIGKILL)
    lab.site.stop(signal.SIGKILL)
    try:
        assert "Welcome to nginx!" in await curl(URL)
        lab.mesh.stop()
        assert await curl(URL) == ""
        lab.mesh.start()
        assert "Welcome to nginx!" in await serves(URL)
        lab.node.core.stop()
        assert "Welcome to nginx!" in await curl(URL), "EdgeCore's restart interrupts nothing"
        lab.node.core.start()
        assert "Welcome to nginx!" in await serves(URL)
    finally:
        lab.mesh.stop()
        lab.site.start()
        lab.cloud.start()


async def test_changes_of_the_cluster_are_followed(mesh: MeshLab) -> None:
    await serves(URL)
    mesh.apply(service("second", "web", [{"port": 8080, "targetPort": 80}]))
    url = "http://second.default.svc.cluster.local:8080"
    assert "Welcome to nginx!" in await serves(url)
    address = mesh.kubectl("get", "service", "second", "-o", "jsonpath={.spec.clusterIP}")
    mesh.kubectl("delete", "service", "second")
    await asyncio.to_thread(until, lambda: address not in sh("nft", "list", "ruleset"), "it is gone")
    assert await curl(url) == ""


async def test_what_a_killed_agent_left_is_taken_away(lab: MeshLab) -> None:
    before = state()
    lab.mesh.start()
    await serves(URL)
    lab.mesh.stop(signal.SIGKILL)
    assert state() != before
    sh(str(BIN / "edgemesh-agent"), "--config", str(lab.config), "--clean")
    assert state() == before
    lab.mesh.start()
    await serves(URL)
    lab.mesh.stop(signal.SIGKILL)
    lab.mesh.start()
    assert "Welcome to nginx!" in await serves(URL), "a new one finds its way through what was left"
    lab.mesh.stop()
    assert state() == before


async def test_edgecore_mesh_and_a_mapper_fit_into_little_memory(mesh: MeshLab) -> None:
    await serves(URL)
    await asyncio.gather(*(curl(URL) for _ in range(50)))
    config = mesh.directory / "mapper.yaml"
    config.write_text(MAPPER.format(socket=mesh.node.directory / "dmi.sock", own=mesh.directory / "own.sock"))
    mapper = Process(
        "mapper", mesh.directory, BIN / "edgelab-virtual-mapper", "--config-file", config, serving="regist"
    )
    mapper.start()
    try:
        sizes = {
            "EdgeCore": resident(mesh.node.core.pid),
            "mesh": resident(mesh.mesh.pid),
            "mapper": resident(mapper.pid),
        }
    finally:
        mapper.stop()
    print(", ".join(f"{name} {size:.1f} MiB" for name, size in sizes.items()))
    maps = Path(f"/proc/{mesh.mesh.pid}/maps").read_text()
    for name in ("aiohttp", "cryptography", "google/_upb"):
        assert name not in maps
    assert sizes["mesh"] < MESH_MIB
    assert sizes["mapper"] < MAPPER_MIB
    assert sum(sizes.values()) < ALL_MIB


MAPPER = """\
grpc_server: {{socket_path: {own}}}
common:
  {{name: virtual, version: v1, api_version: v1, protocol: virtual, address: 127.0.0.1,
    edgecore_sock: {socket}}}
"""

"""Mesh agents on the port of the tunnels: who they are is in their certificate, what they say goes across."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Cloud, running
from tests.cloudcore.test_stream_endpoints import KUBE_CA, stream

from edgelab.edgemesh.tunnel.websocket import WebSocket, connect
from edgelab.protocol.mesh import Accept, Connect, Failed, Hello, Open, Opened, decode, encode


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path, stream=stream(), kube_ca=KUBE_CA) as found:
        yield found


async def dial(cloud: Cloud, node: str) -> WebSocket:
    """A connection with the node's certificate."""
    files = cloud.request(node)
    if not Path(files.cert_file).exists():
        await cloud.enrol(node)
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.check_hostname = False
    context.load_cert_chain(files.cert_file, files.key_file)
    assert cloud.sockets.tunnels is not None
    port = cloud.sockets.tunnels.getsockname()[1]
    async with asyncio.timeout(30):
        return await connect(f"127.0.0.1:{port}", context)


async def test_bytes_go_from_one_agent_to_another_and_back(cloud: Cloud) -> None:
    agent = await dial(cloud, "edge2")
    await agent.send(encode(Hello()))
    asking = await dial(cloud, "edge1")
    await asking.send(encode(Connect("edge2", "10.1.0.2", 80)))
    async with asyncio.timeout(30):
        wanted = decode(await agent.receive())
        assert isinstance(wanted, Open)
        assert (wanted.ip, wanted.port) == ("10.1.0.2", 80)
        there = await dial(cloud, "edge2")
        await there.send(encode(Accept(wanted.id)))
        assert decode(await asking.receive()) == Opened()
        data = bytes(range(256)) * 256
        await asking.send(data)
        assert await there.receive() == data
        await there.send(b"back")
        assert await asking.receive() == b"back"
        for end in (asking, there, agent):
            end.close()


async def test_an_endpoint_of_a_node_without_an_agent_is_refused(cloud: Cloud) -> None:
    asking = await dial(cloud, "edge1")
    await asking.send(encode(Connect("edge9", "10.1.0.2", 80)))
    async with asyncio.timeout(30):
        assert isinstance(decode(await asking.receive()), Failed)
    asking.close()

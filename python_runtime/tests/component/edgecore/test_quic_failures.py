"""EdgeCore's process on QUIC: what it does when CloudCore ends, restarts, or falls silent."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Cloud, eventually, running
from tests.cloudcore.test_faults import certify
from tests.component.edgecore.relay import relaying
from tests.component.edgecore.test_quic import listening
from tests.edgecore.cloud_peer import configuration
from tests.edgecore.processes import edgecore

from edgelab.kube.resources import OBJECT_SYNCS, PODS


def by_quic(cloud: Cloud, port: int, *, dead_peer: str = "15s", quic: bool = True) -> Path:
    """An edgecore.yaml for a node with a certificate, which goes to the cloud by QUIC or by WebSocket."""
    certify(cloud)
    files = cloud.request()
    path = configuration(
        files.cert_file.parent,
        cloud.port,
        edgeHub={
            "tlsCaFile": str(files.ca_file),
            "tlsCertFile": str(files.cert_file),
            "tlsPrivateKeyFile": str(files.key_file),
            "heartbeat": 1,
            "websocket": {"enable": not quic, "server": f"127.0.0.1:{cloud.port}"},
            "quic": {"enable": quic, "server": f"127.0.0.1:{port}", "handshakeTimeout": 5},
        },
    )
    cap = "reconnectCap: 2s"
    path.write_text(path.read_text().replace(cap, f"{cap}\n  deadPeerTimeout: {dead_peer}"))
    return path


async def stored(cloud: Cloud) -> None:
    """A pod is brought to the node, which acknowledges it."""
    pod = await cloud.pod(f"web{len(cloud.api.all(PODS))}")
    record = f"edge1.{pod['metadata']['uid']}"

    def acknowledged() -> bool:
        syncs = {sync["metadata"]["name"]: sync for sync in cloud.api.all(OBJECT_SYNCS)}
        return bool(syncs.get(record, {}).get("status", {}).get("objectResourceVersion"))

    await eventually(acknowledged)


async def test_a_restarted_cloudcore_is_found_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with running(tmp_path / "cloud", quic=listening()) as cloud:
            await cloud.node()
            port, api = cloud.quic_port, cloud.api
            process = await stack.enter_async_context(edgecore(by_quic(cloud, port)))
            await eventually(lambda: cloud.hub.connected("edge1"))
            await stored(cloud)
        await process.wait_for_line("connection to CloudCore lost")
        await process.wait_for_line("connection refused")
        async with running(tmp_path / "cloud", api, quic=listening(port)) as again:
            await eventually(lambda: again.hub.connected("edge1"))
            await stored(again)


async def test_a_cloud_that_falls_silent_is_noticed_by_both_and_found_again(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud", quic=listening(), keepaliveInterval=3) as cloud:
        await cloud.node()
        async with (
            relaying(cloud.quic_port) as relay,
            edgecore(by_quic(cloud, relay.port, dead_peer="2s")) as process,
        ):
            await eventually(lambda: cloud.hub.connected("edge1"))
            await stored(cloud)
            relay.losing = True
            began = time.monotonic()
            await process.wait_for_line("connection to CloudCore lost: nothing was heard of it")
            assert time.monotonic() - began < 10
            await eventually(lambda: not cloud.hub.connected("edge1"))
            relay.losing = False
            await eventually(lambda: cloud.hub.connected("edge1"))
            await stored(cloud)


async def test_a_node_without_a_token_ends_when_its_certificate_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud", quic=listening()) as cloud, running(tmp_path / "other") as other:
        await cloud.node()
        config = by_quic(cloud, cloud.quic_port)
        cloud.request().ca_file.write_bytes(other.pki.ca.cert_pem)
        async with edgecore(config) as process:
            async with asyncio.timeout(60):
                assert await process.child.wait() == 1
            assert "is this the right cloud?" in process.output()
            assert "Traceback" not in process.output()


@pytest.mark.parametrize("quic", [False, True])
async def test_only_a_node_on_quic_pays_for_its_library(tmp_path: Path, quic: bool) -> None:
    async with running(tmp_path / "cloud", quic=listening()) as cloud:
        await cloud.node()
        async with edgecore(by_quic(cloud, cloud.quic_port, quic=quic)) as process:
            await eventually(lambda: cloud.hub.connected("edge1"))
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            assert ("aioquic" in maps) is quic
            assert ("cryptography" in maps) is quic

"""EdgeHub against a scripted cloud over real TLS and WebSockets."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest
from tests.edgecore.cloud_peer import CloudPeer, Pki, cloud_peer, configuration
from tests.edgecore.processes import edgecore, free_port


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def own(pki: Pki, tmp_path: Path) -> Pki:
    """The module's CA, with files of the test's own."""
    for name in ("cloud.crt", "cloud.key", "rootCA.crt", "server.crt", "server.key"):
        (tmp_path / name).write_bytes((pki.directory / name).read_bytes())
    return Pki(tmp_path, pki.ca)


def a_pod(uid: str = "u1", rv: str = "1") -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": uid, "resourceVersion": rv},
        "spec": {"nodeName": "edge1", "containers": []},
    }


def rows(directory: Path) -> dict[str, str]:
    with sqlite3.connect(directory / "edgecore.db") as connection:
        return dict(connection.execute("SELECT key, value FROM meta"))


async def test_it_connects_as_kubeedge_does_and_keeps_alive(own: Pki) -> None:
    async with cloud_peer(own) as cloud:
        config = configuration(own.directory, cloud.port, edgeHub=hub(own, cloud.port, heartbeat=1))
        async with edgecore(config):
            first = await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            assert (first.route.source, first.route.group, first.route.resource) == (
                "websocket",
                "resource",
                "node",
            )
            assert first.value() == "ping"
            await cloud.wait_for(lambda m: m.route.operation == "keepalive" and m.id != first.id)
        headers = cloud.handshakes[0]
        assert headers["node_id"] == "edge1"
        assert headers["project_id"] == "e632aba927ea4ac2b575ec1603d56f10"
        assert headers["connectionuse"] == "msg"
        assert "origin" not in headers
        assert "sec-websocket-extensions" not in headers


def hub(pki: Pki, port: int, **values: object) -> dict[str, object]:
    return {
        "httpServer": "https://127.0.0.1:1",
        "tlsCaFile": str(pki.directory / "rootCA.crt"),
        "tlsCertFile": str(pki.directory / "server.crt"),
        "tlsPrivateKeyFile": str(pki.directory / "server.key"),
        "websocket": {"server": f"127.0.0.1:{port}"},
        **values,
    }


async def test_what_was_acknowledged_is_still_there_after_kill_nine(own: Pki) -> None:
    async with cloud_peer(own) as cloud:
        config = configuration(own.directory, cloud.port)
        async with edgecore(config) as process:
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            sent = [
                await cloud.push(
                    "insert",
                    f"default/configmap/c{n}",
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": {"uid": f"u{n}"},
                        "data": {"n": str(n)},
                    },
                    resource_version=str(n),
                )
                for n in range(50)
            ]
            last = await cloud.acknowledged(sent[29])
            await process.kill()
            acknowledged = {m.parent_id for m in cloud.received if m.route.operation == "response"}
            stored = rows(own.directory)
            for n, message in enumerate(sent):
                assert message.id not in acknowledged or f"default/configmap/c{n}" in stored
            assert last.value() == "OK"
            assert (last.route.source, last.route.group) == ("edgecontroller", "resource")


async def test_a_big_message_in_fragments_is_put_together(own: Pki) -> None:
    async with cloud_peer(own) as cloud, edgecore(configuration(own.directory, cloud.port)):
        await cloud.wait_for(lambda m: m.route.operation == "keepalive")
        content = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"uid": "big"},
            "data": {"x": "y" * 300_000},
        }
        message = await cloud.push("insert", "default/configmap/big", content, resource_version="9")
        await cloud.acknowledged(message)
        assert len(rows(own.directory)["default/configmap/big"]) > 300_000


async def test_late_news_of_a_deletion_does_not_remove_the_pod_that_took_the_name(own: Pki) -> None:
    async with cloud_peer(own) as cloud, edgecore(configuration(own.directory, cloud.port)):
        await cloud.wait_for(lambda m: m.route.operation == "keepalive")
        await cloud.acknowledged(
            await cloud.push("insert", "default/pod/web", a_pod("new"), resource_version="5")
        )
        gone = {"metadata": {"name": "web", "namespace": "default", "uid": "old"}}
        await cloud.acknowledged(await cloud.push("delete", "default/pod/web", gone))
        assert "default/pod/web" in rows(own.directory)
        gone["metadata"]["uid"] = "new"
        await cloud.acknowledged(await cloud.push("delete", "default/pod/web", gone))
        assert "default/pod/web" not in rows(own.directory)


async def test_it_is_back_within_seconds_when_the_cloud_returns(own: Pki) -> None:
    cloud = CloudPeer(own)
    await cloud.start()
    async with edgecore(configuration(own.directory, cloud.port)) as process:
        await cloud.wait_for(lambda m: m.route.operation == "keepalive")
        await cloud.stop()
        await process.wait_for_line("connection to CloudCore lost")
        await asyncio.sleep(1.5)
        seen = len(cloud.received)
        began = time.monotonic()
        await cloud.start()
        await cloud.wait_for(lambda m: m.route.operation == "keepalive", after=seen)
        assert time.monotonic() - began < 8
        await cloud.stop()


async def test_without_certificate_and_token_it_ends_with_one_line(own: Pki) -> None:
    (own.directory / "server.crt").unlink()
    async with edgecore(configuration(own.directory, free_port())) as process:
        async with asyncio.timeout(60):
            assert await process.child.wait() == 1
        last = process.output().strip().splitlines()[-1]
        assert last.startswith("edgecore: there is no certificate in ")
        assert "keadm gettoken" in last
        assert "Traceback" not in process.output()


async def test_a_cloud_of_another_authority_ends_it_with_one_line(own: Pki, tmp_path: Path) -> None:
    other = Pki.create(tmp_path / "other")
    async with cloud_peer(other) as cloud, edgecore(configuration(own.directory, cloud.port)) as process:
        async with asyncio.timeout(60):
            assert await process.child.wait() == 1
        assert "is not signed by" in process.output().strip().splitlines()[-1]
        assert "Traceback" not in process.output()


async def test_a_node_that_had_joined_goes_on_offline_when_the_cloud_is_not_trusted(
    own: Pki, tmp_path: Path
) -> None:
    async with cloud_peer(own) as cloud, edgecore(configuration(own.directory, cloud.port)):
        await cloud.wait_for(lambda m: m.route.operation == "keepalive")
        node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "edge1", "uid": "n"}}
        await cloud.acknowledged(await cloud.push("update", "null/node/edge1", node, resource_version="3"))
    other = Pki.create(tmp_path / "other")
    async with cloud_peer(other) as cloud, edgecore(configuration(own.directory, cloud.port)) as process:
        await process.wait_for_line("working offline")
        await asyncio.sleep(0.5)
        assert process.child.returncode is None


async def test_a_client_certificate_that_the_cloud_refuses_is_named(own: Pki, tmp_path: Path) -> None:
    other = Pki.create(tmp_path / "other")
    for name in ("server.crt", "server.key"):
        (own.directory / name).write_bytes((other.directory / name).read_bytes())
    async with cloud_peer(own) as cloud, edgecore(configuration(own.directory, cloud.port)) as process:
        await process.wait_for_line("it may not accept")
        assert str(own.directory / "server.crt") in process.output()


async def test_a_database_that_cannot_be_written_ends_it_with_one_line(own: Pki) -> None:
    config = configuration(own.directory, free_port())
    (own.directory / "edgecore.db").mkdir()
    async with edgecore(config) as process:
        async with asyncio.timeout(60):
            assert await process.child.wait() == 1
        assert "database" in process.output().strip().splitlines()[-1]
        assert "Traceback" not in process.output()


async def test_with_a_damaged_database_it_starts_anew_and_asks_for_everything(own: Pki) -> None:
    (own.directory / "edgecore.db").write_text("this is no database" * 100)
    async with cloud_peer(own) as cloud:
        config = configuration(own.directory, cloud.port, edgeHub=hub(own, cloud.port))
        async with edgecore(config) as process:
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            await cloud.acknowledged(await cloud.push("insert", "default/pod/web", a_pod()))
            assert "the store was damaged (file is not a database)" in process.output()
    assert cloud.handshakes[0]["edgelab-resend"] == "1"
    assert "default/pod/web" in rows(own.directory)


async def test_a_port_that_does_not_speak_tls_is_named(own: Pki) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, edgecore(configuration(own.directory, server.sockets[0].getsockname()[1])) as process:
        await process.wait_for_line("does not speak TLS")
        assert process.child.returncode is None


async def test_without_a_hub_the_node_runs_on_its_own(own: Pki) -> None:
    async with edgecore(configuration(own.directory, 1, edgeHub={"enable": False})) as process:
        await process.wait_for_line("running metamanager, devicetwin")


async def test_messages_that_make_no_sense_do_not_end_edgecore_nor_the_connection(own: Pki) -> None:
    async with cloud_peer(own) as cloud, edgecore(configuration(own.directory, cloud.port)):
        await cloud.wait_for(lambda m: m.route.operation == "keepalive")
        await cloud.push("delete", "default/pod/web", {"metadata": [1]})
        await cloud.push("update", "default/device/d", {"metadata": "x"})
        await cloud.acknowledged(await cloud.push("update", "default/pod/web", a_pod()))
        assert len(cloud.handshakes) == 1
    assert list(rows(own.directory)) == ["default/pod/web"]

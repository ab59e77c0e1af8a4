"""The light client: lists, watches, and servers that do not behave."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgelab.daemon.errors import Unreachable
from edgelab.kube.informer import Informer
from edgelab.kube.kubeconfig import Kubeconfig
from edgelab.kube.light import LightClient
from edgelab.kube.resources import SERVICES
from edgelab.objects.status import ApiError

LIST = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a", "namespace": "default"}}]}


def event(kind: str, name: str) -> bytes:
    obj = {"metadata": {"name": name, "namespace": "default", "resourceVersion": "9"}}
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def whole(status: int, body: Any) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data


def chunks(*parts: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


class Server:
    """Gives each answer once, the last one for ever; keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head.split(b"\r\n")[0].decode())
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                if b"Content-Length" not in answer:
                    break
        except (EOFError, ConnectionError):
            pass
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield server
    listening.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[LightClient]:
    client = LightClient(Kubeconfig(server=server.url))  # type: ignore[attr-defined]
    yield client
    await client.close()


async def watched(client: LightClient) -> list[tuple[str, str]]:
    return [
        (kind, obj["metadata"]["name"]) async for kind, obj in client.watch(SERVICES, resource_version="7")
    ]


async def test_a_list_has_its_objects_with_their_type_and_its_version(
    server: Server, client: LightClient
) -> None:
    server.answers = [whole(200, LIST)]
    found = await client.list(SERVICES, label_selector="a=b")
    assert found.resource_version == "7"
    assert found.items[0]["kind"] == "Service"
    assert server.asked == ["GET /api/v1/services?labelSelector=a%3Db HTTP/1.1"]


async def test_a_watch_gives_events_however_they_are_cut(server: Server, client: LightClient) -> None:
    both = event("ADDED", "a") + event("DELETED", "b")
    pieces = [both[i : i + 7] for i in range(0, len(both), 7)]
    server.answers = [chunks(*pieces, b"\n", event("MODIFIED", "c"), b"")]
    assert await watched(client) == [("ADDED", "a"), ("DELETED", "b"), ("MODIFIED", "c")]
    assert "watch=true" in server.asked[0]
    assert "resourceVersion=7" in server.asked[0]


async def test_a_watch_without_chunks_lasts_until_the_connection_ends(
    server: Server, client: LightClient
) -> None:
    server.answers = [b"HTTP/1.1 200 OK\r\n\r\n" + event("ADDED", "a")]
    assert await watched(client) == [("ADDED", "a")]


async def test_refusals_are_api_errors_in_lists_watches_and_their_events(
    server: Server, client: LightClient
) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    server.answers = [whole(410, status)]
    for work in (client.list(SERVICES), watched(client)):
        with pytest.raises(ApiError, match="too old") as caught:
            await work
        assert caught.value.code == 410
    server.answers = [chunks(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n", b"")]
    with pytest.raises(ApiError, match="too old"):
        await watched(client)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ncut",
        chunks(b"no json\n", b""),
        chunks(b'{"type": 1}\n', b""),
        b"",
    ],
)
async def test_what_is_no_watch_is_told_as_unreachable(
    server: Server, client: LightClient, answer: bytes
) -> None:
    server.answers = [answer]
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:\d+: "):
        await watched(client)


async def test_a_server_that_is_not_there_is_told() -> None:
    client = LightClient(Kubeconfig(server="http://127.0.0.1:1"))
    with pytest.raises(Unreachable):
        await client.list(SERVICES)
    with pytest.raises(Unreachable):
        await watched(client)


async def test_an_informer_follows_by_it(server: Server, client: LightClient) -> None:
    server.answers = [whole(200, LIST), chunks(event("ADDED", "b"), b""), b""]
    informer = Informer(client, SERVICES)
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(10):
        while set(informer.store) != {("default", "a"), ("default", "b")}:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_over_tls_with_a_token(certificate: tuple[bytes, Path], tmp_path: Path) -> None:
    """As MetaServer wants it that asks for an account; its certificate is looked at."""
    ca, pair = certificate
    token = tmp_path / "token"
    token.write_text("secret\n")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(chunks(event("ADDED", "b")) if "watch=" in heads[-1] else whole(200, LIST))
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    url = f"https://localhost:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        client = LightClient(Kubeconfig(server=url, ca_pem=ca, token_file=token))
        assert [item["metadata"]["name"] for item in (await client.list(SERVICES)).items] == ["a"]
        watch = client.watch(SERVICES, resource_version="7")
        assert (await anext(watch)).object["metadata"]["name"] == "b"
        await watch.aclose()
        await client.close()
        stranger = LightClient(Kubeconfig(server=url))
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await stranger.list(SERVICES)
        await stranger.close()
    assert len(heads) == 2
    assert all("\r\nAuthorization: Bearer secret\r\n" in head for head in heads)

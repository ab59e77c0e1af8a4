"""Logs by way of the server, from a kubelet that asks for its client certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from tests.edgesite.apiserver.running import Client, running
from tests.edgesite.kubelets import Kubelet, kubelet, node, pod

from edgelab.edgesite.settings import KubeletSettings

PODS = "/api/v1/namespaces/default/pods"
LOG = f"{PODS}/web/log"


async def admit(client: Client, name: str, there: Kubelet, *pods: str) -> None:
    """A node whose kubelet that is, with pods on it."""
    made, status = node(name, there.host, there.port)
    assert (await client.call("POST", "/api/v1/nodes", made))[0] == 201
    code, _ = await client.call(
        "PATCH", f"/api/v1/nodes/{name}/status", status, type="application/merge-patch+json"
    )
    assert code == 200
    for item in pods:
        assert (await client.call("POST", PODS, pod(item, name)))[0] == 201


@pytest.fixture
async def there(client: Client, tmp_path: Path) -> AsyncIterator[Kubelet]:
    async with kubelet(tmp_path, client_ca=client.site.keys.ca_pem) as made:
        await admit(client, "n1", made, "web", "broken")
        yield made


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_log_is_asked_for_with_the_options_and_who_we_are(client: Client, there: Kubelet) -> None:
    query = "?tailLines=5&limitBytes=100&timestamps=true&sinceTime=2026-01-02T03:04:05%2B01:00&previous=1"
    assert await client.call("GET", LOG + query) == (200, "one\ntwo\n")
    first = there.requests[0].split("\r\n")[0]
    wanted = "limitBytes=100&previous=true&sinceTime=2026-01-02T02%3A04%3A05Z&tailLines=5&timestamps=true"
    assert first == f"GET /containerLogs/default/web/c?{wanted} HTTP/1.1"
    assert there.users == ["kube-apiserver-kubelet-client"]


async def test_the_key_is_private_and_the_certificate_is_used_again(client: Client, there: Kubelet) -> None:
    await client.call("GET", LOG)
    files = [client.directory / f"data/tls/kubelet-client.{end}" for end in ("crt", "key")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    before = files[0].read_bytes()
    certificate = x509.load_pem_x509_certificate(before)
    assert certificate.subject.rfc4514_string() == "CN=kube-apiserver-kubelet-client,O=system:masters"
    await client.call("GET", LOG)
    assert files[0].read_bytes() == before


async def test_followers_get_each_line_at_once_and_end_with_the_client(
    client: Client, there: Kubelet
) -> None:
    async with client.admin.get(f"{client.base}{LOG}?follow=true") as response:
        assert await response.content.readline() == b"one\n"
        assert await response.content.readline() == b"two\n"
        there.more.put_nowait(b"three\n")
        assert await asyncio.wait_for(response.content.readline(), 30) == b"three\n"
        assert response.headers["Content-Type"] == "text/plain"
        assert there.connections == 1
        response.close()
    there.more.put_nowait(b"")
    await until(lambda: there.connections == 0)


async def test_a_client_that_goes_ends_a_silent_follow(client: Client, there: Kubelet) -> None:
    task = asyncio.create_task(client.call("GET", f"{LOG}?follow=true"))
    await until(lambda: there.connections == 1)
    task.cancel()
    there.more.put_nowait(b"x")  # writing shows the kubelet that nobody is there
    await until(lambda: there.connections == 0 or there.more.put_nowait(b"x"))


async def test_a_slow_reader_holds_up_the_kubelet_and_not_our_memory(client: Client, there: Kubelet) -> None:
    piece, pieces = b"x" * 65535 + b"\n", 1000
    for _ in range(pieces):
        there.more.put_nowait(piece)
    there.more.put_nowait(b"")
    async with client.admin.get(f"{client.base}{LOG}?follow=true") as response:
        await response.content.readline()
        still = -1
        while still != there.sent:
            still = there.sent
            await asyncio.sleep(0.5)
        assert there.sent < len(piece) * pieces / 2  # the kernel's buffers of four sockets
        rest = await response.content.read()
    assert len(rest) == len(b"two\n") + len(piece) * pieces


async def test_what_a_kubelet_refuses_is_told(client: Client, there: Kubelet) -> None:
    code, status = await client.call("GET", f"{PODS}/broken/log")
    assert (code, status["reason"]) == (500, "InternalError")
    assert status["message"] == "Internal error occurred: the disk is gone\n"
    made, patch = node("n2", "127.0.0.1", 1)
    await client.call("POST", "/api/v1/nodes", made)
    await client.call("PATCH", "/api/v1/nodes/n2/status", patch, type="application/merge-patch+json")
    await client.call("POST", PODS, pod("lost", "n2"))
    code, status = await client.call("GET", f"{PODS}/lost/log")
    url = "https://127.0.0.1:1/containerLogs/default/lost/c"
    assert status["message"] == f'Get "{url}": dial tcp 127.0.0.1:1: connect: connection refused'
    assert (code, status.get("reason")) == (500, None)


async def test_a_log_can_be_had_by_websocket(client: Client, there: Kubelet) -> None:
    url = f"{client.base}{LOG}"
    async with client.admin.ws_connect(url, protocols=["base64.binary.k8s.io"]) as socket:
        assert [message.data async for message in socket] == ["", "b25lCnR3bwo="]
    async with client.admin.ws_connect(url) as socket:
        assert b"".join([message.data async for message in socket]) == b"one\ntwo\n"


async def test_a_kubelets_certificate_is_checked_if_an_authority_is_given(tmp_path: Path) -> None:
    async with kubelet(tmp_path) as there:
        authority = tmp_path / "kubelets.crt"
        authority.write_bytes(there.authority.cert_pem)
        chosen = KubeletSettings(authority=authority)
        async with running(tmp_path, kubelet=chosen) as client:
            await admit(client, "n1", there, "web")
            assert (await client.call("GET", LOG))[0] == 200
    async with kubelet(tmp_path) as other, running(tmp_path, kubelet=chosen) as client:
        _, status = node("n1", other.host, other.port)
        await client.call("PATCH", "/api/v1/nodes/n1/status", status, type="application/merge-patch+json")
        code, status = await client.call("GET", LOG)
        assert code == 500
        assert status["message"].endswith(
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
        assert (await client.call("GET", f"{LOG}?insecureSkipTLSVerifyBackend=true"))[0] == 200

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.kube.server import MisbehavingServer, self_signed

from edgelab.daemon.errors import Unreachable
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import PatchType
from edgelab.kube.kubeconfig import Kubeconfig
from edgelab.kube.requesting import REQUESTS_AT_ONCE
from edgelab.kube.resources import CONFIG_MAPS, NODES, PODS
from edgelab.objects.status import ApiError


async def test_verbs_reach_the_paths_of_the_api(client: HttpClient, server: MisbehavingServer) -> None:
    pod = {"metadata": {"name": "p", "namespace": "default"}, "target": {"name": "n1"}}
    await client.get(NODES, "n1")
    await client.create(PODS, pod)
    await client.create(PODS, pod, subresource="binding")
    await client.update(PODS, pod, subresource="status")
    await client.delete(PODS, "p", "default", options={"gracePeriodSeconds": 0})
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/api/v1/nodes/n1"),
        ("POST", "/api/v1/namespaces/default/pods"),
        ("POST", "/api/v1/namespaces/default/pods/p/binding"),
        ("PUT", "/api/v1/namespaces/default/pods/p/status"),
        ("DELETE", "/api/v1/namespaces/default/pods/p"),
    ]
    assert server.bodies[-1] == {"gracePeriodSeconds": 0}
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer letmein"}


async def test_requests_share_one_connection(client: HttpClient, server: MisbehavingServer) -> None:
    for _ in range(5):
        await client.get(NODES, "n1")
    assert len({id(request.protocol) for request in server.requests}) == 1


async def test_many_requests_at_once_share_a_bounded_number_of_connections(
    server: MisbehavingServer, certificate: tuple[bytes, Path]
) -> None:
    async with HttpClient(Kubeconfig(server=server.url, ca_pem=certificate[0])) as client:
        answers = await asyncio.gather(*(client.get(NODES, "n1") for _ in range(4 * REQUESTS_AT_ONCE)))
    assert len(answers) == len(server.requests) == 4 * REQUESTS_AT_ONCE
    assert len({id(request.protocol) for request in server.requests}) <= REQUESTS_AT_ONCE


async def test_patches_carry_their_content_type(client: HttpClient, server: MisbehavingServer) -> None:
    await client.patch(NODES, "n1", b'{"a":1}', patch_type=PatchType.STRATEGIC, subresource="status")
    await client.patch(NODES, "n1", {"b": 2}, patch_type=PatchType.APPLY)
    first, second = server.requests
    assert first.headers["Content-Type"] == "application/strategic-merge-patch+json"
    assert first.path == "/api/v1/nodes/n1/status"
    assert dict(second.query) == {"fieldManager": "edgelab", "force": "true"}
    assert server.bodies == [{"a": 1}, {"b": 2}]


async def test_a_status_becomes_an_api_error(client: HttpClient) -> None:
    with pytest.raises(ApiError) as caught:
        await client.get(CONFIG_MAPS, "missing", "default")
    error = caught.value
    assert (error.code, error.reason, error.message) == (404, "NotFound", 'configmaps "missing" not found')


async def test_a_page_of_a_proxy_is_quoted(client: HttpClient) -> None:
    with pytest.raises(ApiError) as caught:
        await client.get(CONFIG_MAPS, "page", "default")
    assert (caught.value.code, caught.value.message) == (502, "<h1>Bad gateway</h1>")


async def test_listed_objects_have_their_kind(client: HttpClient, server: MisbehavingServer) -> None:
    server.put("a")
    items, version = await client.list(CONFIG_MAPS, "default", label_selector="a=b")
    assert [(item["kind"], item["apiVersion"]) for item in items] == [("ConfigMap", "v1")]
    assert version == str(server.revision)
    assert server.requests[0].query["labelSelector"] == "a=b"


async def test_a_server_that_is_gone_is_unreachable(client: HttpClient, server: MisbehavingServer) -> None:
    await client.get(NODES, "n1")
    await server.stop()
    with pytest.raises(Unreachable, match=server.url):
        await client.get(NODES, "n1")
    await server.start()
    await client.get(NODES, "n1")


async def test_a_server_that_does_not_answer_is_unreachable(
    server: MisbehavingServer, certificate: tuple[bytes, Path]
) -> None:
    config = Kubeconfig(server=server.url, ca_pem=certificate[0])
    async with HttpClient(config, request_seconds=0.1) as client:
        with pytest.raises(Unreachable, match="no answer in time"):
            await client.get(NODES, "slow")


def sockets() -> set[str]:
    """The sockets that this process has open."""
    links = (os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path))
    return {link for link in links if link.startswith("socket:")}


async def test_a_cancelled_request_leaves_no_connection_behind(
    server: MisbehavingServer, certificate: tuple[bytes, Path]
) -> None:
    before = sockets()
    async with HttpClient(Kubeconfig(server=server.url, ca_pem=certificate[0])) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.get(NODES, "slow")
    assert sockets() <= before


async def test_a_foreign_ca_is_told_as_such(server: MisbehavingServer, tmp_path: Path) -> None:
    foreign, _ = self_signed(tmp_path, "localhost")
    async with HttpClient(Kubeconfig(server=server.url, ca_pem=foreign)) as client:
        with pytest.raises(Unreachable, match=r"certificate is not accepted: self.signed"):
            await client.get(NODES, "n1")


async def test_a_name_that_is_not_in_the_certificate_can_be_replaced(
    server: MisbehavingServer, certificate: tuple[bytes, Path]
) -> None:
    address = f"https://127.0.0.1:{server.port}"
    async with HttpClient(Kubeconfig(server=address, ca_pem=certificate[0])) as client:
        with pytest.raises(Unreachable, match="certificate is not accepted"):
            await client.get(NODES, "n1")
    named = Kubeconfig(server=address, ca_pem=certificate[0], tls_server_name="localhost")
    async with HttpClient(named) as client:
        await client.get(NODES, "n1")


async def test_a_watch_gives_events_of_any_length(client: HttpClient, server: MisbehavingServer) -> None:
    server.put("big", text="x" * 3_000_000)
    server.put("small")
    async with aclosing(client.watch(CONFIG_MAPS, "default", resource_version="100")) as stream:
        events = [await anext(stream), await anext(stream)]
    assert [(event.type, event.object["metadata"]["name"]) for event in events] == [
        ("ADDED", "big"),
        ("ADDED", "small"),
    ]
    assert len(events[0].object["data"]["text"]) == 3_000_000


async def test_an_expired_watch_is_an_api_error(client: HttpClient, server: MisbehavingServer) -> None:
    server.forget()
    with pytest.raises(ApiError) as caught:
        async for _ in client.watch(CONFIG_MAPS, "default", resource_version="100"):
            pass
    assert caught.value.code == 410


async def test_a_silent_watch_is_given_up(server: MisbehavingServer, certificate: tuple[bytes, Path]) -> None:
    config = Kubeconfig(server=server.url, ca_pem=certificate[0])
    async with HttpClient(config, silence_seconds=0.1) as client:
        with pytest.raises(Unreachable, match="no answer in time"):
            async for _ in client.watch(CONFIG_MAPS, "default", resource_version="100"):
                pass


async def test_a_token_file_is_read(
    server: MisbehavingServer, certificate: tuple[bytes, Path], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("rotated\n")
    async with HttpClient(Kubeconfig(server=server.url, ca_pem=certificate[0], token_file=token)) as client:
        await client.get(NODES, "n1")
    assert server.requests[0].headers["Authorization"] == "Bearer rotated"

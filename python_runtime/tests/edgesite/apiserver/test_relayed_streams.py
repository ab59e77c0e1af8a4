"""exec, attach and portforward by way of the server: as they are, and translated from WebSockets."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.edgesite.apiserver.running import Client, running
from tests.edgesite.apiserver.test_relayed_logs import PODS, admit
from tests.edgesite.kubelets import Kubelet, kubelet

from edgelab.edgesite.settings import AuditSettings
from edgelab.protocol import spdy

EXEC = f"{PODS}/web/exec"
V5 = ["v5.channel.k8s.io"]
TUNNEL = ["SPDY/3.1+portforward.k8s.io"]


@pytest.fixture
async def there(client: Client, tmp_path: Path) -> AsyncIterator[Kubelet]:
    async with kubelet(tmp_path, client_ca=client.site.keys.ca_pem) as made:
        await admit(client, "n1", made, "web")
        yield made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def socket(client: Client, path: str, protocols: list[str]) -> aiohttp.client._WSRequestContextManager:
    return client.admin.ws_connect(client.base + path, protocols=protocols)


async def ended(found: aiohttp.ClientWebSocketResponse) -> tuple[dict[int, bytes], dict[str, object]]:
    """What came on each channel, and the Status."""
    channels: dict[int, bytes] = {}
    async with asyncio.timeout(10):
        async for message in found:
            channels[message.data[0]] = channels.get(message.data[0], b"") + message.data[1:]
    return channels, json.loads(channels.pop(3))


async def test_a_command_runs_and_its_end_is_told(client: Client, there: Kubelet) -> None:
    async with socket(client, f"{EXEC}?command=echo&command=a%20b&stdout=1&stderr=1", V5) as found:
        assert found.protocol == "v5.channel.k8s.io"
        assert await ended(found) == ({1: b"a b\n"}, {"metadata": {}, "status": "Success"})
    async with socket(client, f"{EXEC}?command=fail&command=7&stdout=1&stderr=1", V5) as found:
        channels, status = await ended(found)
    assert channels == {1: b"", 2: b"it fails\n"}
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "7"}]}
    await until(lambda: there.connections == 0)


async def test_standard_input_can_be_closed(client: Client, there: Kubelet) -> None:
    async with socket(client, f"{EXEC}?command=cat&stdin=1&stdout=1", V5) as found:
        assert await found.receive_bytes() == b"\x01"
        large = bytes(range(256)) * 1024
        await found.send_bytes(b"\0" + large)
        await found.send_bytes(b"\xff\0")
        channels, status = await ended(found)
    assert (channels[1], status["status"]) == (large, "Success")


async def test_a_terminal_has_a_size_and_no_stderr(client: Client, there: Kubelet) -> None:
    query = "?command=size&stdin=1&stdout=1&stderr=1&tty=1"
    async with socket(client, EXEC + query, V5) as found:
        await found.send_bytes(b'\x04{"Width":80,"Height":24}')
        channels, _ = await ended(found)
    assert channels == {1: b"80x24\r\n"}


async def test_a_cut_link_is_no_success(client: Client, there: Kubelet) -> None:
    async with socket(client, f"{EXEC}?command=vanish&stdout=1", V5) as found:
        _, status = await ended(found)
    assert status["message"] == ("Internal error occurred: error reading from error stream: unexpected EOF")


async def test_a_client_that_goes_ends_the_command(client: Client, there: Kubelet) -> None:
    found = await socket(client, f"{EXEC}?command=yes&stdout=1", V5)
    await found.receive_bytes()
    await found.close()
    await until(lambda: there.connections == 0)
    found = await socket(client, f"{EXEC}?command=cat&stdin=1&stdout=1", V5)
    await found.receive_bytes()
    assert found._response.connection is not None
    assert found._response.connection.transport is not None
    found._response.connection.transport.abort()
    await until(lambda: there.connections == 0)
    await found.close()


async def test_a_client_that_does_not_read_holds_up_the_command(client: Client, there: Kubelet) -> None:
    found = await socket(client, f"{EXEC}?command=yes&stdout=1", V5)
    still = -1
    async with asyncio.timeout(30):
        while still != there.sent:
            still = there.sent
            await asyncio.sleep(0.5)
    await found.close()
    await until(lambda: there.connections == 0)


async def test_a_port_is_forwarded_through_a_websocket(client: Client, there: Kubelet) -> None:
    async with socket(client, f"{PODS}/web/portforward", TUNNEL) as found:
        assert found.protocol == TUNNEL[0]
        writer, reader = spdy.Writer(), spdy.Reader()
        common = {"port": "8080", "requestid": "0"}
        await found.send_bytes(writer.open(1, {"streamtype": "error", **common}))
        await found.send_bytes(writer.open(3, {"streamtype": "data", **common}))
        await found.send_bytes(spdy.Writer.data(3, b"hello", final=True))
        got = b""
        async with asyncio.timeout(10):
            async for message in found:
                frames = [f for f in reader.feed(message.data) if f.kind == 0 and f.number == 3]
                got += b"".join(frame.data for frame in frames)
                if any(frame.final for frame in frames):
                    break
    assert got == b"HELLO"
    assert "X-Stream-Protocol-Version: portforward.k8s.io" in there.requests[-1]
    await until(lambda: there.connections == 0)


async def raw(client: Client, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which an upgrade was asked for."""
    tls = client.directory / "data/tls"
    context = ssl.create_default_context(cadata=client.site.keys.ca_pem.decode())
    context.load_cert_chain(tls / "admin.crt", tls / "admin.key")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.site.port, ssl=context)
    lines = [f"POST {path} HTTP/1.1", "Host: edgesite", "Connection: Upgrade", "Upgrade: SPDY/3.1", *headers]
    writer.write(("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode())
    return reader, writer


async def run_raw(client: Client) -> bytes:
    """Standard output of cat by SPDY, which is passed on as it is."""
    reader, writer = await raw(
        client, f"{EXEC}?command=cat&stdin=1&stdout=1", "X-Stream-Protocol-Version: v4.channel.k8s.io"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    out, frames, got = spdy.Writer(), spdy.Reader(), b""
    for number, name in ((1, "error"), (3, "stdin"), (5, "stdout")):
        writer.write(out.open(number, {"streamtype": name}))
    writer.write(spdy.Writer.data(3, b"hello", final=True))
    done = False
    while not done:
        for frame in frames.feed(await reader.read(65536)):
            got += frame.data if frame.number == 5 and frame.kind == 0 else b""
            done = done or (frame.number == 5 and frame.final)
    writer.close()
    return got


async def test_spdy_is_passed_on_as_it_is(client: Client, there: Kubelet) -> None:
    assert await asyncio.wait_for(run_raw(client), 10) == b"hello"
    head = there.requests[-1].lower()
    assert "x-forwarded-for: 127.0.0.1" in head
    assert "upgrade: spdy/3.1" in head
    await until(lambda: there.connections == 0)


async def test_sessions_are_counted_as_lasting(client: Client, there: Kubelet) -> None:
    what = '{component="apiserver",verb="CONNECT",group="",version="v1",resource="pods",subresource="exec"'
    reader, writer = await raw(client, f"{EXEC}?command=cat&stdin=1&stdout=1")
    await reader.readuntil(b"\r\n\r\n")
    _, page = await client.call("GET", "/metrics", accept="text/plain")
    assert f'apiserver_longrunning_requests{what},scope="resource"}} 1\n' in page
    writer.close()
    await until(lambda: there.connections == 0)
    _, page = await client.call("GET", "/metrics", accept="text/plain")
    assert f'apiserver_longrunning_requests{what},scope="resource"}} 0\n' in page
    assert f'apiserver_request_total{what},scope="resource",code="101"}} 1\n' in page


async def test_sessions_are_audited(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with running(tmp_path, audit=AuditSettings(file)) as client, kubelet(tmp_path) as there:
        await admit(client, "n1", there, "web")
        assert await run_raw(client) == b"hello"
        await until(lambda: there.connections == 0)
    events = [json.loads(text) for text in file.read_text().splitlines()]
    stages = [e for e in events if e.get("objectRef", {}).get("subresource") == "exec"]
    assert [(e["stage"], e["responseStatus"]["code"]) for e in stages] == [
        ("ResponseStarted", 101),
        ("ResponseComplete", 101),
    ]


async def test_many_sessions_leave_nothing_behind(client: Client, there: Kubelet) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(4):
        results = await asyncio.wait_for(asyncio.gather(*(run_raw(client) for _ in range(25))), 60)
        assert set(results) == {b"hello"}
    await until(lambda: there.connections == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before + 2)


async def test_sessions_end_when_the_server_stops(client: Client, there: Kubelet) -> None:
    reader, writer = await raw(client, f"{EXEC}?command=cat&stdin=1&stdout=1")
    await reader.readuntil(b"\r\n\r\n")
    client.site._server._handler.stop()
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await until(lambda: there.connections == 0)


async def test_reading_rights_do_not_open_a_session(client: Client, there: Kubelet) -> None:
    """`create` is asked for whatever the method of the upgrade is (kube-apiserver 1.35)."""
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
    role = {"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "r"}}
    await client.call("POST", f"{rbac}/roles", {**role, "rules": rules})
    binding = {**role, "kind": "RoleBinding", "subjects": [{"kind": "User", "name": "u"}]}
    binding["roleRef"] = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    assert (await client.call("POST", f"{rbac}/rolebindings", binding))[0] == 201
    code, status = await client.call("GET", EXEC, headers={"Impersonate-User": "u"})
    assert (code, status["message"]) == (403, 'pods "web" is forbidden: ')

"""kubectl logs, exec, port-forward and get --raw, by way of a server process to a kubelet."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.component.edgesite.serving import KUBECTL, Server, kubectl
from tests.edgesite.kubelets import Kubelet, kubelet, node, pod


@pytest.fixture
def own_address() -> Iterator[str]:
    """An address of this host that is not 127.0.0.1, which a proxy refuses; there may be no network at all.

    It is of the range for measurements (RFC 2544), which nobody routes.
    """
    address = f"198.18.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    yield address
    subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=True)


@pytest.fixture
async def there(server: Server, tmp_path: Path, own_address: str) -> AsyncIterator[Kubelet]:
    authority = (server.directory / "data/tls/ca.crt").read_bytes()
    async with kubelet(tmp_path, host=own_address, client_ca=authority) as made:
        run = partial(kubectl, server)
        machine, status = node("n1", made.host, made.port)
        await run("apply", "-f", "-", text=yaml.safe_dump(machine))
        patch = ["--subresource=status", "--type=merge", "-p", yaml.safe_dump(status)]
        await run("patch", "node", "n1", *patch)
        await run("apply", "-f", "-", text=yaml.safe_dump(pod("web", "n1", "c")))
        running = {"status": {"phase": "Running", "podIP": made.host}}
        patch[-1] = yaml.safe_dump(running)
        await run("patch", "pod", "web", *patch)
        yield made


async def started(server: Server, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(str(KUBECTL), "--kubeconfig", str(server.kubeconfig), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode()


async def test_logs_are_shown_and_followed(server: Server, there: Kubelet) -> None:
    assert await kubectl(server, "logs", "web") == "one\ntwo\n"
    process = await started(server, "logs", "-f", "--tail=1", "web")
    assert [await line(process), await line(process)] == ["one\n", "two\n"]
    there.more.put_nowait(b"three\n")
    assert await line(process) == "three\n"
    there.more.put_nowait(b"")
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert "follow=true&tailLines=1" in there.requests[-1]


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_commands_run(
    server: Server, there: Kubelet, monkeypatch: pytest.MonkeyPatch, websockets: str
) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
    run = partial(kubectl, server)
    assert await run("exec", "web", "--", "echo", "a b") == "a b\n"
    assert await run("exec", "-i", "web", "--", "cat", text="typed\n" * 20000) == "typed\n" * 20000
    failed = await run("exec", "web", "--", "fail", "3", fails=True)
    assert failed == "it fails\ncommand terminated with exit code 3\n"
    attached = await run("attach", "-i", "web", text="more\n")
    assert attached.splitlines()[-1] == "more", attached
    assert all(head.startswith("POST /") for head in there.requests)  # SPDY, however kubectl asked


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_ports_are_forwarded(
    server: Server, there: Kubelet, monkeypatch: pytest.MonkeyPatch, websockets: str
) -> None:
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    process = await started(server, "port-forward", "web", ":8080")
    shown = await line(process)
    assert shown.endswith("-> 8080\n"), shown
    port = int(shown.split(" -> ")[0].rsplit(":", 1)[1])
    try:
        for text in (b"hello", b"again" * 50000):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 20) == text.upper()
            writer.close()
    finally:
        process.terminate()
        await process.wait()


async def test_raw_paths_reach_the_kubelet_and_the_pod(server: Server, there: Kubelet) -> None:
    run = partial(kubectl, server)
    assert await run("get", "--raw", "/api/v1/nodes/n1/proxy/echo?x=1") == "GET /echo?x=1 "
    path = f"/api/v1/namespaces/default/pods/https:web:{there.port}/proxy/echo/"
    assert await run("get", "--raw", path) == "GET /echo/ "

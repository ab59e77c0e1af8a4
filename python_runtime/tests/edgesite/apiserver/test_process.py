"""EdgeSite as a process: clear endings, and nothing acknowledged lost when it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import aiohttp
import yaml
from tests.edgesite.apiserver.running import running

from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite.keys import load_or_create

COMMAND = (sys.executable, "-m", "edgelab.edgesite")


async def start(directory: Path, *extra: str) -> asyncio.subprocess.Process:
    arguments = ("server", "--data-dir", str(directory / "data"), "--listen", "127.0.0.1:0", *extra)
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, stderr=asyncio.subprocess.PIPE)


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(60):
        _, text = await process.communicate()
    return process.returncode, text.decode()


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, text = await ended(await start(tmp_path, "--listen", f"127.0.0.1:{port}"))
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{port}" in text
    assert "Traceback" not in text


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    status, text = await ended(await start(tmp_path))
    assert status == 1
    assert str(tmp_path / "data") in text
    assert "Traceback" not in text


async def test_one_directory_serves_one_process(tmp_path: Path) -> None:
    async with running(tmp_path):
        status, text = await ended(await start(tmp_path))
    assert status == 1
    assert "is in use by another edgesite" in text


async def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    for extra in (("--listen", "nonsense"), ("--advertise-address", "not-an-ip")):
        status, text = await ended(await start(tmp_path, *extra))
        assert status == 2
        assert extra[1] in text


async def until_written(path: Path) -> str:
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.05)
    return str(yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"])


async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    process = await start(tmp_path, "--write-kubeconfig", str(kubeconfig))
    server = await until_written(kubeconfig)
    assert kubeconfig.stat().st_mode & 0o077 == 0
    tls = tmp_path / "data/tls"
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    context.load_cert_chain(tls / "admin.crt", tls / "admin.key")
    acknowledged: set[str] = set()

    async def write(session: aiohttp.ClientSession, worker: int) -> None:
        for number in range(1000):
            name = f"w{worker}-{number}"
            body = {"metadata": {"name": name}, "data": {"k": "v" * 200}}
            try:
                async with session.post(
                    f"{server}/api/v1/namespaces/default/configmaps", json=body
                ) as answer:
                    if answer.status == 201:
                        acknowledged.add(name)
            except aiohttp.ClientError:
                return
            if len(acknowledged) == 150:
                os.kill(process.pid, signal.SIGKILL)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        await asyncio.gather(*(write(session, worker) for worker in range(8)))
    await process.communicate()
    async with running(tmp_path) as client:
        _, listed = await client.call("GET", "/api/v1/namespaces/default/configmaps")
        assert acknowledged <= {item["metadata"]["name"] for item in listed["items"]}
        assert len(acknowledged) >= 150


async def test_the_server_certificate_follows_the_addresses_and_the_ca_stays(tmp_path: Path) -> None:
    first = load_or_create(tmp_path, ["127.0.0.1"], SYSTEM)
    same = load_or_create(tmp_path, ["127.0.0.1"], SYSTEM)
    other = load_or_create(tmp_path, ["127.0.0.1", "10.0.0.7"], SYSTEM)
    assert first == same
    assert other.ca_pem == first.ca_pem
    assert other.admin == first.admin
    assert other.server != first.server
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


async def test_a_process_says_when_it_is_ready_and_ends_cleanly_when_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.setblocking(False)
        arguments = ("server", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, env=environment, stderr=-1)
        told = b""
        async with asyncio.timeout(60):
            while b"READY=1" not in told:
                told += await asyncio.get_running_loop().sock_recv(notify, 4096)
        process.terminate()
        status, text = await ended(process)
    assert status == 0
    assert "Traceback" not in text

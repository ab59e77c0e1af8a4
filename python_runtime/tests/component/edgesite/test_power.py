"""The whole server and its disk: answers leave after the fsync, kill -9 loses nothing that was answered."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
from tests.edgesite.store import traces

from edgelab.kube.kubeconfig import load

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
KILLS = 20
WORKERS = 16
SENDS = ("write", "writev", "sendto", "sendmsg")


def words(directory: Path) -> list[str]:
    return [
        *("-m", "edgelab.edgesite", "server", "--data-dir", str(directory / "data")),
        *("--listen", "127.0.0.1:0", "--write-kubeconfig", str(directory / "kubeconfig")),
    ]


class Server:
    """A process that serves, and a session with it."""

    def __init__(self, directory: Path, command: list[str]) -> None:
        self.directory = directory
        self._command = command

    async def __aenter__(self) -> Server:
        kubeconfig = self.directory / "kubeconfig"
        kubeconfig.unlink(missing_ok=True)
        self.process = await asyncio.create_subprocess_exec(*self._command, stderr=-3)
        async with asyncio.timeout(60):
            while not kubeconfig.exists():
                await asyncio.sleep(0.02)
        site = load(kubeconfig)
        self.base = site.server
        connector = aiohttp.TCPConnector(ssl=site.ssl_context() or True, limit=0)
        self.http = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        with suppress(ProcessLookupError):
            self._stop()
        async with asyncio.timeout(30):
            await self.process.wait()

    def _stop(self) -> None:
        """Ask it to end; strace does not pass signals on to what it runs."""
        pid = self.process.pid
        if not self._command[0].endswith("strace"):
            return self.process.terminate()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return os.kill(int(children[0]), signal.SIGTERM)

    async def values(self) -> dict[str, dict[str, str]]:
        async with self.http.get(self.base + CONFIGMAPS) as answer:
            items = (await answer.json())["items"]
        return {item["metadata"]["name"]: item.get("data") or {} for item in items}


async def test_the_kernel_had_synced_each_object_before_its_answer_left(tmp_path: Path) -> None:
    """One client, one request after the other: the first bytes that leave after an object was written to
    the log are its answer, and the log has been synced in between.
    """
    command = traces.python(tmp_path / "trace", *words(tmp_path))
    names = [f"synced-object-{number}." for number in range(25)]
    async with Server(tmp_path, command) as server:
        for name in names:
            body = {"metadata": {"name": name + "x"}}
            async with server.http.post(server.base + CONFIGMAPS, json=body) as answer:
                assert answer.status == 201
    calls = traces.read(tmp_path / "trace")
    for name in names:
        written = next(c for c in calls if c.name == "pwrite64" and name.encode() in c.data)
        answered = next(
            c for c in calls if c.name in SENDS and c.path.startswith("TCP:") and c.began > written.began
        )
        assert written.path.endswith("state.db-wal")
        synced = traces.was_synced(calls, written, answered)
        assert synced, f"the answer for {name} left before its fsync returned"


def content(text: str) -> dict[str, str]:
    """Data that tells whether it is whole."""
    return {"text": text, "hash": hashlib.sha256(text.encode()).hexdigest()}


async def test_twenty_kills_under_load_lose_and_tear_nothing(tmp_path: Path) -> None:
    """Every object that was created is there, every counter is where its last acknowledged update left it
    or one further, and each is whole.
    """
    luck = random.Random(7)
    created: set[str] = set()
    counters = dict.fromkeys(range(WORKERS), 0)

    async def write(server: Server, kill: int, worker: int) -> None:
        for number in range(100000):
            name = f"k{kill}-w{worker}-{number}"
            body = {"metadata": {"name": name}, "data": content(f"{name} " * luck.randrange(1, 60))}
            step = content(f"{counters[worker] + 1} " + "x" * luck.randrange(2000))
            try:
                async with server.http.post(server.base + CONFIGMAPS, json=body) as answer:
                    if answer.status == 201:
                        created.add(name)
                async with server.http.patch(
                    f"{server.base}{CONFIGMAPS}/counter{worker}?fieldManager=test&force=true",
                    json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": step},
                    headers={"Content-Type": "application/apply-patch+yaml"},
                ) as answer:
                    if answer.status in (200, 201):
                        counters[worker] += 1
            except aiohttp.ClientError:
                return

    for kill in range(KILLS + 1):
        async with Server(tmp_path, [sys.executable, *words(tmp_path)]) as server:
            found = await server.values()
            assert created <= set(found), f"lost: {sorted(created - set(found))[:5]}"
            for name, data in found.items():
                if name != "kube-root-ca.crt":
                    assert data == content(data["text"]), f"{name} is torn"
            for worker, acknowledged in counters.items():
                kept = int(found.get(f"counter{worker}", {"text": "0"})["text"].split()[0])
                assert acknowledged <= kept <= acknowledged + 1
                counters[worker] = kept
            if kill == KILLS:
                break
            writers = [asyncio.create_task(write(server, kill, w), name=f"w{w}") for w in range(WORKERS)]
            enough = len(created) + 20
            await asyncio.sleep(0.2 + 0.2 * luck.random())
            async with asyncio.timeout(30):
                while len(created) < enough:
                    await asyncio.sleep(0.005)
            os.kill(server.process.pid, signal.SIGKILL)
            await asyncio.gather(*writers)
    assert len(created) >= 20 * KILLS

"""A second box that follows a site, and takes over when the first one is gone: real processes, real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.edgesite.apiserver.running import Client, running, settings
from tests.edgesite.store.stores import encoder, key, opened, state

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.app import Site
from edgelab.edgesite.operation import archive
from edgelab.edgesite.operation.copies import BUMP
from edgelab.edgesite.operation.follower import Follower
from edgelab.edgesite.operation.publisher import LogReader
from edgelab.edgesite.operation.restore import promote, restore
from edgelab.edgesite.store import Compacted
from edgelab.kube.kubeconfig import Kubeconfig, load

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
EDGESITE = (sys.executable, "-m", "edgelab.edgesite")


@asynccontextmanager
async def following(kubeconfig: Path, data_dir: Path, **options: bool) -> AsyncIterator[None]:
    """A follower inside this process."""
    task = asyncio.create_task(Follower(load(kubeconfig), data_dir, SYSTEM, **options).run(), name="follower")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def metric(client: Client, name: str) -> float | None:
    _, text = await client.call("GET", "/metrics")
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)), None)


async def until_in_step(client: Client) -> None:
    async with asyncio.timeout(60):
        while await metric(client, "edgesite_follower_lag_revisions") != 0:
            await asyncio.sleep(0.02)


async def write(client: Client, name: str, *, delete: bool = False) -> None:
    if delete:
        assert (await client.call("DELETE", f"{CONFIGMAPS}/{name}"))[0] == 200
    else:
        assert (await client.call("POST", CONFIGMAPS, {"metadata": {"name": name}}))[0] == 201


async def names(client: Client) -> set[str]:
    _, listed = await client.call("GET", CONFIGMAPS)
    return {item["metadata"]["name"] for item in listed["items"]} - {"kube-root-ca.crt"}


async def test_a_follower_has_what_was_there_and_what_comes(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    async with running(tmp_path / "site") as client:
        await write(client, "before")
        async with following(tmp_path / "site/kubeconfig", copy):
            await until_in_step(client)
            await write(client, "after")
            await write(client, "before", delete=True)
            await until_in_step(client)
            assert await metric(client, "edgesite_followers") == 1
            assert await metric(client, "edgesite_follower_lag_seconds") == 0
        await write(client, "missed")
        async with following(tmp_path / "site/kubeconfig", copy):
            await until_in_step(client)
        assert await metric(client, "edgesite_followers ") == 0
        revision, ca = client.site.store.revision, client.site.keys.ca_pem
    with pytest.raises(Fatal, match="`edgesite promote --data-dir"):
        Site(settings(tmp_path, data_dir=copy), SYSTEM)
    assert promote(copy) == revision + BUMP
    copy.rename(tmp_path / "data")
    async with running(tmp_path) as second:
        assert await names(second) == {"after", "missed"}
        assert second.site.keys.ca_pem == ca


async def test_a_follower_that_was_away_too_long_begins_anew(tmp_path: Path) -> None:
    async with running(tmp_path / "site") as client:
        async with following(tmp_path / "site/kubeconfig", tmp_path / "copy"):
            await until_in_step(client)
        await write(client, "a")
        await write(client, "gone")
        await write(client, "gone", delete=True)
        await client.site.store.compact(client.site.store.revision)
        reader = LogReader(tmp_path / "site/data/state.db")
        with pytest.raises(Compacted):
            await reader.batch(5)
        reader.close()
        async with following(tmp_path / "site/kubeconfig", tmp_path / "copy"):
            await until_in_step(client)
            await write(client, "b")
            await until_in_step(client)
    promote(tmp_path / "copy")
    async with opened(tmp_path / "copy") as store:
        assert {e.key.name for e in store.entries("configmaps", "default")} >= {"a", "b"}
        assert "gone" not in {e.key.name for e in store.entries("configmaps", "default")}


async def test_a_follower_forgets_what_the_site_forgets(tmp_path: Path) -> None:
    async with running(tmp_path / "site") as client:
        async with following(tmp_path / "site/kubeconfig", tmp_path / "copy"):
            await write(client, "a")
            for number in range(20):
                await client.call(
                    "PATCH",
                    f"{CONFIGMAPS}/a",
                    f'{{"data":{{"n":"{number}"}}}}',
                    type="application/merge-patch+json",
                )
            await until_in_step(client)
            await client.site.store.compact(client.site.store.revision)
            await write(client, "b")
            await until_in_step(client)
        reader = LogReader(tmp_path / "copy/state.db")
        with pytest.raises(Compacted):
            await reader.batch(10)
        reader.close()


async def test_a_site_that_was_restored_is_followed_from_its_new_beginning(tmp_path: Path) -> None:
    async with running(tmp_path / "site") as client:
        await write(client, "a")
        path, _ = archive.write(tmp_path / "site/data", tmp_path, SYSTEM)
        async with following(tmp_path / "site/kubeconfig", tmp_path / "copy"):
            await write(client, "lost")
            await until_in_step(client)
    restore(path, tmp_path / "site/data", force=True)
    async with (
        running(tmp_path / "site") as client,
        following(tmp_path / "site/kubeconfig", tmp_path / "copy"),
    ):
        await until_in_step(client)
        await write(client, "b")
        await until_in_step(client)
    promote(tmp_path / "copy")
    async with opened(tmp_path / "copy") as store:
        found = {e.key.name for e in store.entries("configmaps", "default")}
    assert {"a", "b"} <= found
    assert "lost" not in found


async def test_a_site_is_not_overwritten_by_a_copy(tmp_path: Path) -> None:
    async with opened(tmp_path / "own") as store:
        await store.put(key("mine"), encoder("kept"))
    nowhere = Kubeconfig(server="https://127.0.0.1:1")
    with pytest.raises(Fatal, match="holds a site of its own; give another --data-dir, or --force"):
        await Follower(nowhere, tmp_path / "own", SYSTEM).run()
    with pytest.raises(Fatal, match="holds a site already, no follower's copy"):
        promote(tmp_path / "own")
    forced = following(tmp_path / "site/kubeconfig", tmp_path / "own", force=True)
    async with running(tmp_path / "site") as client, forced:
        await until_in_step(client)
    async with opened(tmp_path / "own/replaced") as store:
        assert state(store) == {"mine": "kept"}


async def test_only_administrators_may_follow(tmp_path: Path) -> None:
    async with running(tmp_path / "site") as client:
        for page in ("snapshot", "log?after=1"):
            assert (await client.call("GET", f"/edgesite/v1/{page}", token=""))[0] == 403
        assert (await client.call("GET", "/edgesite/v1/log?after=1&history=1&keys=x"))[0] == 410


async def test_with_waiting_no_answer_leaves_before_the_follower_has_the_write(tmp_path: Path) -> None:
    async with running(tmp_path / "site", wait_for_follower=3.0) as client:
        await write(client, "alone")  # nobody follows: nobody is waited for
        async with following(tmp_path / "site/kubeconfig", tmp_path / "copy"):
            await until_in_step(client)
            reader = LogReader(tmp_path / "copy/state.db")
            newest = 0
            for number in range(20):
                await write(client, f"n{number}")
                rows = (await reader.batch(newest)).rows
                newest = rows[-1][0]
                assert f"n{number}" in {row[3] for row in rows}
            reader.close()


PATIENCE = 3.0
"""Seconds; a slow disk takes half a second for a write on each side."""


async def test_a_follower_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    async with running(tmp_path / "site", wait_for_follower=PATIENCE) as client:
        process = await asyncio.create_subprocess_exec(
            *EDGESITE,
            "follow",
            "--kubeconfig",
            str(tmp_path / "site/kubeconfig"),
            "--data-dir",
            str(tmp_path / "copy"),
        )
        try:
            await until_in_step(client)
            await write(client, "quick")
            await until_in_step(client)
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            await write(client, "slow")
            assert time.monotonic() - began > 0.9 * PATIENCE
            began = time.monotonic()
            for number in range(10):
                await write(client, f"n{number}")
            assert time.monotonic() - began < 5 * PATIENCE, "not ten times"
            process.send_signal(signal.SIGCONT)
            await until_in_step(client)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            await process.wait()


@pytest.mark.parametrize(
    ("how", "waiting"), [(signal.SIGKILL, ("--wait-for-follower", "5")), (signal.SIGTERM, ())]
)
async def test_the_second_box_takes_over_within_ten_seconds(
    tmp_path: Path, how: signal.Signals, waiting: tuple[str, ...]
) -> None:
    """Two processes, load, the end of the first. What was acknowledged is on the second, but for what the
    last round trip carried; nothing is lost where the site waits for its follower, or ends in peace.
    """
    first, copy = tmp_path / "first", tmp_path / "second/data"
    kubeconfig = first / "kubeconfig"
    words = ["--listen", "127.0.0.1:0", "--write-kubeconfig"]
    site = await asyncio.create_subprocess_exec(
        *EDGESITE,
        "server",
        "--data-dir",
        str(first / "data"),
        *words,
        str(kubeconfig),
        *waiting,
    )
    async with asyncio.timeout(60):
        while not kubeconfig.exists():
            await asyncio.sleep(0.05)
    following_it = await asyncio.create_subprocess_exec(
        *EDGESITE, "follow", "--kubeconfig", str(kubeconfig), "--data-dir", str(copy)
    )
    found = load(kubeconfig)
    acknowledged: set[str] = set()

    async def load_it(http: aiohttp.ClientSession, worker: int) -> None:
        for number in range(100000):
            name = f"w{worker}-{number}"
            try:
                async with http.post(
                    f"{found.server}{CONFIGMAPS}", json={"metadata": {"name": name}}
                ) as answer:
                    if answer.status == 201:
                        acknowledged.add(name)
            except aiohttp.ClientError:
                return

    connector = aiohttp.TCPConnector(ssl=found.ssl_context() or True)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with asyncio.timeout(60):
            while "edgesite_followers 1" not in await (await http.get(f"{found.server}/metrics")).text():
                await asyncio.sleep(0.05)
        writers = [asyncio.create_task(load_it(http, worker), name=f"w{worker}") for worker in range(8)]
        while len(acknowledged) < 300:
            await asyncio.sleep(0.01)
        os.kill(site.pid, how)
        killed = time.monotonic()
        await asyncio.gather(*writers)
    await site.wait()
    following_it.terminate()
    assert await following_it.wait() == 0
    promoted = await asyncio.create_subprocess_exec(*EDGESITE, "promote", "--data-dir", str(copy))
    assert await promoted.wait() == 0
    async with running(tmp_path / "second") as client:
        status, _ = await client.call("POST", CONFIGMAPS, {"metadata": {"name": "goes-on"}})
        took = time.monotonic() - killed
        assert status == 201
        assert acknowledged <= await names(client)
    assert took < 10
    assert len(acknowledged) >= 300


def rows(data_dir: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(data_dir / "state.db")
    found = connection.execute("SELECT * FROM log ORDER BY revision").fetchall()
    connection.close()
    return found


async def test_a_follower_that_is_killed_under_load_ends_up_with_the_same_rows(tmp_path: Path) -> None:
    words = ("--kubeconfig", str(tmp_path / "site/kubeconfig"), "--data-dir", str(tmp_path / "copy"))
    stop = asyncio.Event()

    async def load_it(client: Client, worker: int) -> None:
        for number in range(100000):
            if stop.is_set():
                return
            await write(client, f"w{worker}-{number}")
            await asyncio.sleep(0)

    async with running(tmp_path / "site") as client:
        writers = [asyncio.create_task(load_it(client, worker), name=f"w{worker}") for worker in range(3)]
        for kill in range(4):
            process = await asyncio.create_subprocess_exec(*EDGESITE, "follow", *words)
            async with asyncio.timeout(60):
                while not await metric(client, "edgesite_followers "):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.1 * (kill + 1))
            process.kill()
            await process.wait()
        stop.set()
        await asyncio.gather(*writers)
        async with following(tmp_path / "site/kubeconfig", tmp_path / "copy"):
            await until_in_step(client)
        copied = rows(tmp_path / "copy")
        assert len(copied) > 100
        assert copied == rows(tmp_path / "site/data")[: len(copied)]

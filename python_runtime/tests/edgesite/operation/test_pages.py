"""Health and metrics of a running site, and what its clients see when it stops."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import aiohttp
import pytest
from tests.edgesite.apiserver.running import Client, running, session, settings

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.main import find_fatal
from edgelab.daemon.tasks import run_modules
from edgelab.edgesite.app import Site, running_store
from edgelab.edgesite.operation.health import Check, Health, Unhealthy
from edgelab.edgesite.operation.prometheus import Page
from edgelab.edgesite.store.stats import Histogram

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(name="client")
async def fresh(tmp_path: Path):  # type: ignore[no-untyped-def] # a fixture
    async with running(tmp_path) as client:
        async with asyncio.timeout(60):
            while (await client.call("GET", "/readyz"))[0] != 200:
                await asyncio.sleep(0.02)
        yield client


async def test_a_site_that_is_well_says_so_in_few_words_or_in_many(client: Client) -> None:
    assert await client.call("GET", "/livez") == (200, "ok")
    assert await client.call("GET", "/healthz") == (200, "ok")
    assert await client.call("GET", "/readyz", token="") == (200, "ok")
    everything = "[+]ping ok\n[+]store ok\n[+]apiserver ok\n[+]controllers ok\n[+]shutdown ok\n"
    assert await client.call("GET", "/readyz?verbose") == (200, f"{everything}readyz check passed\n")
    assert await client.call("GET", "/livez?verbose") == (
        200,
        "[+]ping ok\n[+]store ok\nlivez check passed\n",
    )
    assert await client.call("GET", "/readyz/store") == (200, "ok")
    assert await client.call("GET", "/livez/etcd") == (200, "ok")
    assert await client.call("GET", "/readyz/nothing") == (404, "404 page not found\n")
    assert (await client.call("GET", "/livez/"))[0] == 404
    assert await client.call("POST", "/readyz/poststarthook/rbac/bootstrap-roles", {}) == (200, "ok")
    assert (await client.call("GET", "/readyz/store", token=""))[0] == 403


async def test_checks_can_be_left_out_and_unknown_ones_are_named(client: Client) -> None:
    _, text = await client.call("GET", "/readyz?verbose&exclude=etcd&exclude=foo&exclude=bar")
    assert "[+]store excluded: ok\n" in text
    assert 'warn: some health checks cannot be excluded: no matches for "bar","foo"\n' in text


async def test_a_disk_that_refuses_makes_it_not_ready_and_stays_alive(client: Client) -> None:
    disk = client.site.store._disk._connection
    disk.execute("PRAGMA query_only=ON")
    status, answer = await client.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    assert (status, answer["kind"]) == (500, "Status")
    assert "reason" not in answer
    status, text = await client.call("GET", "/readyz")
    assert status == 500
    assert "[-]store failed: reason withheld\n" in text
    assert text.endswith("\nreadyz check failed\n")
    assert (await client.call("GET", "/readyz?exclude=store"))[0] == 200
    status, text = await client.call("GET", "/readyz/store")
    assert status == 500
    assert text.startswith("internal server error: the store refused")
    assert (await client.call("GET", "/livez"))[0] == 200
    assert (await client.call("GET", CONFIGMAPS))[0] == 200
    disk.execute("PRAGMA query_only=OFF")
    assert (await client.call("GET", "/readyz"))[0] == 200
    assert (await client.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}}))[0] == 201


async def test_a_check_that_hangs_fails() -> None:
    async def hang() -> None:
        raise Unhealthy("stuck")

    health = Health([], [Check("disk", hang)])
    found = await health.answer("/readyz/disk", {}, [])
    assert found is not None
    assert (found.status, found.text) == (500, "internal server error: stuck\n")


def numbers(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_metrics_tell_of_requests_watches_store_queues_and_process(client: Client) -> None:
    await client.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    await client.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    await client.call("GET", "/api/v1/namespaces/x/made-up")
    before = client.site.store.revision
    async with (
        client.admin.get(f"{client.base}{CONFIGMAPS}?watch=1"),
        client.admin.get(f"{client.base}/metrics") as response,
    ):
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = numbers(await response.text())
    what = 'component="apiserver",verb="POST",group="",version="v1",resource="configmaps",subresource=""'
    what += ',scope="resource"'
    assert found[f'apiserver_request_total{{{what},code="201"}}'] == 1
    assert found[f'apiserver_request_total{{{what},code="409"}}'] == 1
    assert found[f'apiserver_request_duration_seconds_bucket{{{what},le="+Inf"}}'] == 2
    assert found[f"apiserver_request_duration_seconds_count{{{what}}}"] == 2
    assert not any("made-up" in name for name in found)
    watch = what.replace("POST", "WATCH").replace('"resource"', '"namespace"')
    assert found[f"apiserver_longrunning_requests{{{watch}}}"] == 1
    assert found['apiserver_current_inflight_requests{request_kind="readOnly"}'] == 1
    assert found['apiserver_storage_objects{resource="clusterroles.rbac.authorization.k8s.io"}'] > 5
    # controllers write meanwhile
    assert before <= found["edgesite_store_revision"] <= client.site.store.revision
    assert found["edgesite_store_commit_duration_seconds_count"] > 1
    assert found["edgesite_store_writable"] == 1
    assert found["apiserver_storage_size_bytes"] > 10000
    # Queues are the process's: other tests' that are not collected yet count, too.
    assert 'workqueue_depth{name="deployment-controller"}' in found
    assert found['workqueue_adds_total{name="serviceaccount-controller"}'] >= 4
    assert found["process_resident_memory_bytes"] > 20e6
    assert found["process_cpu_seconds_total"] > 0
    assert abs(found["process_start_time_seconds"] - time.time()) < 3600
    assert (await client.call("GET", "/metrics", token=""))[0] == 403


def test_labels_are_escaped_and_buckets_add_up() -> None:
    page, histogram = Page(), Histogram((0.1, 1.0))
    for seconds in (0.1, 0.5, 3.0):
        histogram.observe(seconds)
    page.histograms("h", "Help.", [({"a": 'x"\\\n'}, histogram)])
    label = 'a="x\\"\\\\\\n"'
    assert page.text().splitlines()[2:] == [
        f'h_bucket{{{label},le="0.1"}} 1',
        f'h_bucket{{{label},le="1"}} 2',
        f'h_bucket{{{label},le="+Inf"}} 3',
        f"h_sum{{{label}}} 3.6",
        f"h_count{{{label}}} 3",
    ]


async def test_a_stop_lets_requests_finish_ends_watches_and_is_announced(tmp_path: Path) -> None:
    """A write that has reached the disk's queue is answered, a watch ends as a stream does that is over."""
    made = settings(tmp_path, shutdown_delay=2.0)
    site = Site(made, SYSTEM)
    async with running_store(site.store):
        await site.start()
        serving = asyncio.create_task(run_modules(site.modules()), name="modules")
        base = f"https://127.0.0.1:{site.port}"
        commit = site.store._disk.commit

        def slow(rows: object) -> None:
            time.sleep(0.8)
            commit(rows)  # type: ignore[arg-type] # as it came

        async with session(site, tmp_path, certificate=True) as admin:
            while (await admin.get(f"{base}/readyz")).status != 200:
                await asyncio.sleep(0.02)
            watch = await admin.get(f"{base}{CONFIGMAPS}?watch=1&fieldSelector=metadata.name=none")
            site.store._disk.commit = slow  # type: ignore[method-assign] # a disk that takes its time
            writing = asyncio.create_task(
                admin.post(f"{base}{CONFIGMAPS}", json={"metadata": {"name": "late"}}), name="write"
            )
            await asyncio.sleep(0.05)
            serving.cancel()
            await asyncio.sleep(0.05)
            answer = await admin.get(f"{base}/readyz?verbose")
            assert answer.status == 500
            assert "[-]shutdown failed: reason withheld" in await answer.text()
            assert (await admin.get(f"{base}/livez")).status == 200
            assert (await writing).status == 201
            assert await watch.text() == ""
            await asyncio.wait([serving], timeout=60)
            with pytest.raises(aiohttp.ClientError):
                await admin.get(f"{base}/livez")
    site.stop()
    rows = sqlite3.connect(tmp_path / "data/state.db")
    assert rows.execute("SELECT count(*) FROM log WHERE name = 'late'").fetchone() == (1,)
    rows.close()


async def test_a_site_starts_on_a_disk_that_refuses_for_whoever_reads(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await first.call("POST", CONFIGMAPS, {"metadata": {"name": "kept"}})
    site = Site(settings(tmp_path), SYSTEM)  # on another port, which the endpoints cannot tell now
    site.store._disk._connection.execute("PRAGMA query_only=ON")
    try:
        async with running_store(site.store):
            await site.start()
            modules = asyncio.create_task(run_modules(site.modules()), name="modules")
            async with session(site, tmp_path, certificate=True) as admin:
                answer = await admin.get(f"https://127.0.0.1:{site.port}{CONFIGMAPS}/kept")
                assert answer.status == 200
            modules.cancel()
            await asyncio.wait([modules])
    finally:
        site.stop()


async def test_a_new_site_on_a_disk_that_refuses_ends_with_the_reason(tmp_path: Path) -> None:
    site = Site(settings(tmp_path), SYSTEM)
    site.store._disk._connection.execute("PRAGMA query_only=ON")
    try:
        async with running_store(site.store):
            with pytest.raises(ExceptionGroup) as failed:
                await site.start()
    finally:
        await site._server._runner.cleanup()  # type: ignore[union-attr] # it listens
        site.stop()
    fatal = find_fatal(failed.value)
    assert fatal is not None
    assert "cannot start: the store refused" in str(fatal)

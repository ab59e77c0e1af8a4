"""From DeviceStatus objects to series in a real VictoriaMetrics; the API server is in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.component.twinexporter.conftest import VictoriaMetrics
from tests.kube.fake_api import FakeApi

from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.twinexporter.app import Exporter as Application
from edgelab.twinexporter.app import Options

KUBECONFIG = """
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: c
"""
SERIES = "kubeedge_device_temperature"
DEVICE = {"metadata": {"name": "edge1-cpu", "namespace": "default"}, "spec": {"nodeName": "edge1"}}


class Exporter:
    def __init__(self, *urls: str) -> None:
        self.api = FakeApi()
        options = Options(Path("unused"), [f"{url}/write" for url in urls], "127.0.0.1:0", queue=1000)
        self.app = Application(options, self.api)
        self.pipes = self.app.pipes
        assert self.app.monitor is not None
        self.monitor = self.app.monitor

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.app.run(), name="exporter")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def report(self, value: str, stamp: int) -> None:
        twin = {
            "propertyName": "temperature",
            "reported": {"value": value, "metadata": {"timestamp": str(stamp)}},
        }
        obj: dict[str, Any] = {"metadata": dict(DEVICE["metadata"]), "status": {"twins": [twin]}}
        if stamp == self.first:
            await self.api.create(DEVICES, dict(DEVICE), "default")
            await self.api.create(DEVICE_STATUSES, obj, "default")
        else:
            # The API in memory treats every status as a subresource; DeviceStatus has none in truth.
            await self.api.patch(DEVICE_STATUSES, "edge1-cpu", obj, "default", subresource="status")

    first = int(time.time() * 1000) - 60_000


async def eventually(check: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = await asyncio.to_thread(check)
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


async def test_each_report_is_one_sample_with_its_own_time_and_labels(database: VictoriaMetrics) -> None:
    exporter = Exporter(database.url)
    stamps = [exporter.first + step * 2000 for step in range(5)]
    async with exporter.running():
        for number, stamp in enumerate(stamps):
            await exporter.report(f"{40 + number}.25", stamp)
            await asyncio.sleep(0.05)
        await eventually(lambda: exporter.pipes[0].written.lines == 5)
        found = await eventually(lambda: [s for s in database.series(SERIES) if len(s["values"]) == 5])
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{exporter.monitor.port}/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            async with session.get(f"http://127.0.0.1:{exporter.monitor.port}/metrics") as answer:
                text = await answer.text()
                assert "edgelab_twinexporter_samples_total 5\n" in text
                where = f'{{database="{database.url}/write"}}'
                for name, value in {"lines_total": 5, "up": 1, "waiting_lines": 0}.items():
                    assert f"edgelab_twinexporter_database_{name}{where} {value}\n" in text
    [series] = found
    labels = {"__name__": SERIES, "namespace": "default", "device": "edge1-cpu", "node": "edge1"}
    assert series["metric"] == labels
    assert series["timestamps"] == stamps
    assert series["values"] == [40.25, 41.25, 42.25, 43.25, 44.25]


async def test_samples_wait_for_a_database_that_is_away(database: VictoriaMetrics) -> None:
    exporter = Exporter(database.url)
    await asyncio.to_thread(database.stop)
    async with exporter.running():
        for step in range(3):
            await exporter.report(str(step), exporter.first + step * 1000)
            await asyncio.sleep(0.05)
        await eventually(lambda: exporter.pipes[0].trouble)
        assert any("database" in text for text in exporter.monitor.troubles())
        await asyncio.to_thread(database.start)
        assert await eventually(lambda: exporter.pipes[0].written.lines == 3)
        assert exporter.monitor.troubles() == []
        assert await eventually(lambda: [s for s in database.series(SERIES) if s["values"] == [0, 1, 2]])


async def test_what_the_database_refuses_is_dropped_and_counted(database: VictoriaMetrics) -> None:
    exporter = Exporter(f"{database.url}/no/such/path")
    async with exporter.running():
        await exporter.report("1", exporter.first)
        assert await eventually(lambda: exporter.pipes[0].written.refused == 1)
        assert exporter.pipes[0].waiting == 0


async def test_a_restart_makes_no_sample_count_twice(database: VictoriaMetrics) -> None:
    for _ in range(2):
        exporter = Exporter(database.url)
        async with exporter.running():
            await exporter.report("1", exporter.first)
            assert await eventually(lambda one=exporter: one.pipes[0].written.lines == 1)
    window = {"time": str(time.time())}
    counted = await eventually(lambda: database.query(f"count_over_time({SERIES}[2h])", **window))
    assert counted[0]["value"][1] == "1"


async def test_one_database_that_is_away_does_not_hold_up_the_other(
    database: VictoriaMetrics, tmp_path: Path
) -> None:
    other = VictoriaMetrics(tmp_path / "other")
    exporter = Exporter(database.url, other.url)
    try:
        async with exporter.running():
            await exporter.report("1", exporter.first)
            assert await eventually(lambda: database.series(SERIES))
            assert await eventually(lambda: exporter.pipes[1].trouble)
            [trouble] = exporter.monitor.troubles()
            assert trouble.startswith(f"database {other.url}/write: ")
            await asyncio.to_thread(other.start)
            assert await eventually(lambda: other.series(SERIES))
        assert other.series(SERIES) == database.series(SERIES)
    finally:
        other.stop()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "127.0.0.1:8428"], "--url wants the address of a database"),
        (["--url", ""], "nowhere to write to"),
        (["--url", "http://a/w", "--url", "http://u:secret@a/w"], "--url names a database twice: http://a/w"),
        (["--state-dir", "/proc/none"], "--state-dir /proc/none cannot be used"),
    ],
)
def test_wrong_options_end_in_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(KUBECONFIG, encoding="utf-8")
    errors = failure(["--kube-config", str(config), *words])
    assert said in errors
    assert "secret" not in errors


def test_a_kubeconfig_that_is_missing_ends_in_one_line(tmp_path: Path) -> None:
    assert "No such file" in failure(["--kube-config", str(tmp_path / "none")])


def failure(words: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edgelab.twinexporter", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr

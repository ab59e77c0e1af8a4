"""The curve of the CPU temperature is complete, whatever is restarted or cut off on its way.

Mapper -> Mosquitto -> EdgeCore -> a link that can be cut -> CloudCore -> EdgeSite -> twinexporter ->
VictoriaMetrics: all real, each a process of its own but the mapper, whose sensor keeps count here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from tests.component.devices.link import Link
from tests.component.twinexporter.conftest import VictoriaMetrics
from tests.edgecore.cloud_peer import configuration
from tests.edgecore.processes import Process, free_port, listens, spawn

from edgelab.daemon.tasks import run_modules
from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.resources import DEVICES
from edgelab.mappers.cpu_temperature.app import Sampler
from edgelab.mappers.cpu_temperature.options import Options
from edgelab.mappers.cpu_temperature.sensor import find
from edgelab.mappers.sdk import Broker, DeviceTwin, Reading
from edgelab.mappers.sdk.history import History
from edgelab.objects.devices import SPOOL

CYCLE = 0.2
PATIENCE = 120
AWAY = 3.0
"""Seconds for which a program is gone."""
CUT = 20.0
"""Seconds for which there is no link: many reports, and longer than any answer is waited for."""


class Counted(History):
    """Knows when each value was read."""

    taken: set[int]

    def put(self, readings: Mapping[str, Reading]) -> None:
        self.taken.add(readings["temperature"].time)
        super().put(readings)


class Way:
    """The programs between the sensor and the curve, each of which can be ended and started again."""

    def __init__(self, directory: Path, database: VictoriaMetrics, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.database = database
        self.stack = stack
        self.ports = {name: free_port() for name in ("api", "nodes", "https", "broker")}
        self.link = Link(self.ports["nodes"])
        self.running: dict[str, Process] = {}
        self.kubeconfig = directory / "kubeconfig"

    async def start(self) -> None:
        api = f"127.0.0.1:{self.ports['api']}"
        data = ("--data-dir", str(self.directory / "site"), "--listen", api)
        await self._run("edgesite", "server", *data, "--write-kubeconfig", str(self.kubeconfig))
        await self.running["edgesite"].wait_for_line("serving")
        keadm = (sys.executable, "-m", "edgelab.keadm", "init", "--cluster-only")
        init = await asyncio.create_subprocess_exec(
            *keadm, "--kube-config", self.kubeconfig, stdout=asyncio.subprocess.DEVNULL
        )
        assert await init.wait() == 0
        await self.stack.enter_async_context(self.link.open())
        await self.cloudcore()
        await self.broker()
        await self.edgecore()
        where = ("--kube-config", str(self.kubeconfig), "--url", f"{self.database.url}/write")
        await self._run("twinexporter", *where, "--state-dir", str(self.directory / "exporter"))
        await self.running["twinexporter"].wait_for_line("follows all devices")

    async def cloudcore(self) -> None:
        files = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
        hub = {
            "advertiseAddress": ["127.0.0.1"],
            "websocket": {"address": "127.0.0.1", "port": self.ports["nodes"]},
            "https": {"address": "127.0.0.1", "port": self.ports["https"]},
            **{name: str(self.directory / "cloud" / name) for name in files},
        }
        settings = {
            "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
            "kubeAPIConfig": {"kubeConfig": str(self.kubeconfig)},
            "modules": {"cloudHub": hub},
        }
        path = self.directory / "cloudcore.yaml"
        path.write_text(yaml.safe_dump(settings))
        await self._run("cloudcore", "--config", str(path))
        await self.running["cloudcore"].wait_for_line("serves edge nodes")

    async def broker(self) -> None:
        port = self.ports["broker"]
        path = self.directory / "mosquitto.conf"
        path.write_text(f"listener {port} 127.0.0.1\nuser root\nallow_anonymous true\n")
        self.running["broker"] = await self._spawn("broker", "/usr/sbin/mosquitto", "-c", str(path))
        await listens(port)

    async def edgecore(self) -> None:
        edge = self.directory / "edge"
        edge.mkdir(exist_ok=True)
        config = configuration(
            edge,
            self.link.port,
            edgeHub={
                "httpServer": f"https://127.0.0.1:{self.ports['https']}",
                "tlsCaFile": str(edge / "ca" / "rootCA.crt"),
                "tlsCertFile": str(edge / "certs" / "server.crt"),
                "tlsPrivateKeyFile": str(edge / "certs" / "server.key"),
                "websocket": {"server": f"127.0.0.1:{self.link.port}"},
            },
            eventBus={"enable": True, "mqttServerExternal": f"tcp://127.0.0.1:{self.ports['broker']}"},
        )
        command = (sys.executable, "-m", "edgelab.keadm", "gettoken", "--kube-config", self.kubeconfig)
        tell = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        token, _ = await tell.communicate()
        (edge / "bootstrap.conf").write_bytes(token)
        await self._run("edgecore", "--config", str(config))
        await self.running["edgecore"].wait_for_line("connected to MQTT broker")

    async def kill(self, name: str) -> None:
        await self.running[name].kill()

    async def _run(self, name: str, *words: str) -> None:
        self.running[name] = await self._spawn(name, sys.executable, "-P", "-m", f"edgelab.{name}", *words)

    async def _spawn(self, name: str, *command: str) -> Process:
        process = await spawn(self.directory, name, *command)
        self.stack.push_async_callback(_end, process)
        return process

    def curve(self) -> set[int]:
        """When the samples that the database has were taken (ms)."""
        found = self.database.series("kubeedge_device_temperature")
        return {moment for series in found for moment in series["timestamps"]}


async def _end(process: Process) -> None:
    if process.child.returncode is None:
        await process.kill()


@pytest.fixture
async def way(tmp_path: Path, database: VictoriaMetrics) -> AsyncIterator[Way]:
    async with AsyncExitStack() as stack:
        way = Way(tmp_path, database, stack)
        await way.start()
        yield way


@contextlib.asynccontextmanager
async def sampling(way: Way) -> AsyncIterator[Counted]:
    """The mapper, reading a simulated sensor."""
    address = f"tcp://127.0.0.1:{way.ports['broker']}"
    broker = Broker(address, "cpu-temperature")
    twin = DeviceTwin(broker, "default", "cpu")
    history = Counted(broker, twin)
    history.taken = set()
    options = Options(device="cpu", broker=address, collect_cycle=CYCLE, report_cycle=CYCLE)
    sampler = Sampler(find("simulated"), broker, twin, history, options)
    serving = asyncio.create_task(run_modules([broker, history]), name="mapper")
    reading = asyncio.create_task(sampler.run(), name="sampler")
    try:
        yield history
        reading.cancel()
        async with asyncio.timeout(PATIENCE):
            while history.waiting:
                await asyncio.sleep(0.1)
    finally:
        for task in (reading, serving):
            task.cancel()
        await asyncio.gather(reading, serving, return_exceptions=True)


async def until_past(way: Way, moment: float) -> None:
    """Wait for a sample that was taken after a moment (seconds)."""
    async with asyncio.timeout(PATIENCE):
        while max(await asyncio.to_thread(way.curve), default=0) < moment * 1000:
            await asyncio.sleep(0.2)


async def test_the_curve_is_complete_whatever_was_away(way: Way) -> None:
    async with HttpClient(kubeconfig.load(way.kubeconfig)) as api:
        device = {
            "metadata": {"name": "cpu", "annotations": {SPOOL: "3600"}},
            "spec": {"nodeName": "edge1", "properties": [{"name": "temperature", "reportToCloud": True}]},
        }
        await api.create(DEVICES, device, "default")
    async with sampling(way) as history:
        await until_past(way, time.time())
        for name, start in (("broker", way.broker), ("edgecore", way.edgecore), ("cloudcore", way.cloudcore)):
            await way.kill(name)
            await asyncio.sleep(AWAY)
            await start()
            await until_past(way, time.time())
        way.link.cut()
        await asyncio.sleep(CUT)
        way.link.heal()
        await until_past(way, time.time())
    async with asyncio.timeout(PATIENCE):
        while history.taken - await asyncio.to_thread(way.curve):
            await asyncio.sleep(0.2)
    assert history.dropped == 0
    assert await asyncio.to_thread(way.curve) == history.taken
    assert len(history.taken) > (3 * AWAY + CUT) / CYCLE

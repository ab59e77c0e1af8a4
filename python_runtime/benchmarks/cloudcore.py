"""EdgeSite and CloudCore as processes of their own for benchmarks, and nodes that trust them.

KubeEdge's own CloudCore is measured in the same run when EDGELAB_BENCH_CLOUDCORE names its program.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from benchmarks.edgesite import Server, free_port, running
from benchmarks.processes import Usage
from benchmarks.simulator.credentials import authority
from benchmarks.simulator.fleet import Fleet
from benchmarks.simulator.node import Behaviour
from benchmarks.wire import Connection

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVING = "serves edge nodes"
NODE_LIMIT = 20_000
OURS = "CloudCore"
PEER = os.environ.get("EDGELAB_BENCH_CLOUDCORE", "")
BIG = os.environ.get("EDGELAB_BENCH_SIZE", "small") == "big"
"""`big` has the numbers of nodes that the goals name, where `small` would do for a look."""


class Cloud:
    """A CloudCore that can be stopped and started again on the same ports, and its API server."""

    def __init__(self, directory: Path, site: Server, program: tuple[str, ...]) -> None:
        self.site = site
        self._program = program
        self.directory = directory
        self.port = free_port()
        self.https = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where nodes connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running CloudCore."""
        assert self._process is not None
        return self._process.pid

    def usage(self) -> Usage:
        """Memory and CPU of the running CloudCore."""
        return Usage(self.pid)

    def fleet(self, behaviour: Behaviour | None = None, *, prefix: str = "sim-") -> Fleet:
        """Nodes with certificates that this cloud accepts."""
        return Fleet(self.address, authority(self.directory), behaviour or Behaviour(), prefix=prefix)

    async def start(self) -> None:
        """Start, and wait until nodes may come."""
        log = self.directory / "cloudcore.log"
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._program, "--config", self._settings(), stdout=output, stderr=output
            )
        while not await self._serves(log):
            if self._process.returncode is not None:
                raise RuntimeError(f"CloudCore ended: {log.read_text()[-2000:]}")
            await asyncio.sleep(0.02)

    async def stop(self, *, kill: bool = False) -> None:
        """End it, or have it ended without a word."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill() if kill else self._process.terminate()
            await self._process.wait()

    async def _serves(self, log: Path) -> bool:
        if self._program[0] != PEER:
            return SERVING in log.read_text()
        try:
            for port in (self.port, self.https):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
        except OSError:
            return False
        return True

    def _settings(self) -> str:
        authority(self.directory)
        hub: dict[str, Any] = {
            "advertiseAddress": ["127.0.0.1"],
            "nodeLimit": NODE_LIMIT,
            "tlsCAFile": str(self.directory / "rootCA.crt"),
            "tlsCAKeyFile": str(self.directory / "rootCA.key"),
            "tlsCertFile": str(self.directory / "none.crt"),
            "tlsPrivateKeyFile": str(self.directory / "none.key"),
            "websocket": {"address": "127.0.0.1", "port": self.port},
            "https": {"address": "127.0.0.1", "port": self.https},
        }
        settings = {
            "commonConfig": {"monitorServer": {"bindAddress": f"127.0.0.1:{free_port()}"}},
            "kubeAPIConfig": {"kubeConfig": str(self.site.kubeconfig)},
            "modules": {"cloudHub": hub},
        }
        path = self.directory / "cloudcore.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)


def contenders() -> dict[str, tuple[str, ...]]:
    """Programs to measure, by the name that their figures get; ours first."""
    ours = {OURS: (sys.executable, "-m", "edgelab.cloudcore")}
    return {**ours, "KubeEdge's CloudCore": (PEER,)} if PEER else ours


@asynccontextmanager
async def cloud(name: str = OURS) -> AsyncIterator[Cloud]:
    """A new EdgeSite with the definitions, and the contender of this name on it."""
    async with running() as site:
        connection = await Connection.open(site.target)
        for file in (resources.files("edgelab") / "data" / "crds").iterdir():
            await connection.call("POST", DEFINITIONS, yaml.safe_load(file.read_text()))
        if name != OURS:  # KubeEdge's is installed by a chart that makes its namespace
            await connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": "kubeedge"}})
        connection.close()
        made = Cloud(site.kubeconfig.parent, site, contenders()[name])
        await made.start()
        try:
            yield made
        finally:
            await made.stop()

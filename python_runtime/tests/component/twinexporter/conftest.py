"""A real VictoriaMetrics on a free port, and a control plane for each file of tests."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.component.twinexporter.process import Cluster


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class VictoriaMetrics:
    def __init__(self, directory: Path, *flags: str, dedup: bool = True) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.directory = directory
        self._flags = [*flags, *(["-dedup.minScrapeInterval=1ms"] if dedup else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("victoria-metrics")
        assert program, "victoria-metrics is missing: scripts/bootstrap installs it"
        address = self.url.removeprefix("http://")
        flags = [
            f"-storageDataPath={self.directory}",
            f"-httpListenAddr={address}",
            "-search.latencyOffset=1ms",
        ]
        self._process = subprocess.Popen(
            [program, *flags, *self._flags, "-memory.allowedBytes=64MB"],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.get("/health")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("victoria-metrics did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def get(self, path: str, **query: str) -> bytes:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as response:
            data: bytes = response.read()
        return data

    def series(self, match: str) -> list[dict[str, Any]]:
        """Raw samples: `[{"metric": labels, "values": [...], "timestamps": [...]}]`."""
        self.get("/internal/force_flush")
        lines = self.get("/api/v1/export", **{"match[]": match}).splitlines()
        return [json.loads(line) for line in lines]

    def query(self, expression: str, **more: str) -> list[dict[str, Any]]:
        self.get("/internal/force_flush")
        path = "/api/v1/query_range" if "start" in more else "/api/v1/query"
        answer = json.loads(self.get(path, query=expression, **more))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result


@pytest.fixture
def database(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    database = VictoriaMetrics(tmp_path / "vm")
    database.start()
    yield database
    database.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    from tests.component.twinexporter.process import Cluster

    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()

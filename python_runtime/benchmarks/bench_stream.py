"""Streams through CloudCore and EdgeCore: MB/s of a followed log, milliseconds of a command."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from benchmarks.measure import Result, goal
from tests.component.edged import containerd as private
from tests.component.streams.direct import Direct, resident
from tests.component.streams.lab import StreamLab, StreamNode, sleeper

CGROUP = f"/edgelab-bench-streams-{os.getpid()}"
MEGABYTES = 64
LINE = 1000
ROUNDS = 20
WRITING = (
    f"line=$(head -c {LINE - 1} /dev/zero | tr '\\0' x); yes $line | head -c {MEGABYTES}000000; sleep 3600"
)


async def run() -> list[Result]:
    """On one machine, the API server, both daemons and the client at its two ends."""
    async with _lab() as (lab, node):
        await lab.apply(sleeper("writing", WRITING))
        await lab.apply(sleeper("exec"))
        while not (found := await lab.published())[0]:
            await asyncio.sleep(0.1)
        await _written(node)
        await lab.kubectl("logs", "writing", "--tail=1")
        direct = Direct(lab, *found)
        before = resident(node.core.pid), resident(lab.cloud.pid)
        rates = [await _direct(direct), await _kubectl(lab)]
        after = resident(node.core.pid), resident(lab.cloud.pid)
        commands = [await _command(direct) for _ in range(ROUNDS)]
        whole = [await _whole(lab) for _ in range(ROUNDS)]
    return [
        goal("logs -f, at least", 20, "MB/s"),
        Result("  CloudCore's port, the API server's client", rates[0], "MB/s"),
        Result("  kubectl through EdgeSite", rates[1], "MB/s"),
        Result("memory that it took, EdgeCore", after[0] - before[0], "MiB"),
        Result("memory that it took, CloudCore", after[1] - before[1], "MiB"),
        Result("exec to its first output, p50, CloudCore's port", statistics.median(commands), "ms"),
        Result("kubectl exec from start to end, p50", statistics.median(whole), "ms"),
    ]


async def _direct(direct: Direct) -> float:
    pipe = await direct.ask("GET", "/containerLogs/default/writing/main?follow=true", {})
    began, size = time.perf_counter(), 0
    while size < MEGABYTES * 1_000_000:
        size += len(await pipe.reader.read(1 << 20))
    pipe.writer.transport.abort()
    return size / 1e6 / (time.perf_counter() - began)


async def _kubectl(lab: StreamLab) -> float:
    process = await lab.start_kubectl("logs", "-f", "writing")
    assert process.stdout is not None
    first = await process.stdout.read(1)
    began, size = time.perf_counter(), len(first)
    while size < MEGABYTES * 1_000_000:
        size += len(await process.stdout.read(1 << 20))
    took = time.perf_counter() - began
    process.kill()
    await process.wait()
    return size / 1e6 / took


async def _command(direct: Direct) -> float:
    began = time.perf_counter()
    client = await direct.exec("exec", "cat")
    client.send("stdin", b"x\n")
    async for name, _, _ in client.frames():
        if name == "stdout":
            break
    client.close()
    return (time.perf_counter() - began) * 1000


async def _whole(lab: StreamLab) -> float:
    began = time.perf_counter()
    await lab.kubectl("exec", "exec", "--", "true")
    return (time.perf_counter() - began) * 1000


async def _written(node: StreamNode) -> None:
    """Wait until the runtime has written the whole log."""
    wanted = MEGABYTES * 1_000_000
    while sum(path.stat().st_size for path in node.directory.glob("logs/*writing*/main/*.log")) < wanted:
        await asyncio.sleep(0.2)


@asynccontextmanager
async def _lab() -> AsyncIterator[tuple[StreamLab, StreamNode]]:
    if missing := private.available():
        raise RuntimeError(missing)
    archives = private.images()
    base = Path(tempfile.mkdtemp(prefix="edgelab-bench-", dir="/var/tmp"))
    with private.own_namespaces():
        daemon = private.Containerd(base)
        lab = StreamLab(base)
        node: StreamNode | None = None
        daemon.start()
        try:
            daemon.load(archives)
            lab.start()
            node = StreamNode(lab, base / "edge", daemon, CGROUP)
            _keep_logs(base / "edge" / "edgecore.yaml")
            node.core.start()
            yield lab, node
        finally:
            if node is not None:
                node.core.stop()
            lab.stop()
            daemon.stop()
    private.remove_cgroups(CGROUP)
    shutil.rmtree(base, ignore_errors=True)


def _keep_logs(config: Path) -> None:
    """One file of log, however long."""
    settings: dict[str, Any] = yaml.safe_load(config.read_text())
    settings["modules"]["edged"]["tailoredKubeletConfig"]["containerLogMaxSize"] = "1Gi"
    config.write_text(json.dumps(settings))

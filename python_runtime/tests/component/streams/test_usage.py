"""What is used on a node, asked through the tunnel: the pages that metrics-server and monitoring read."""

from __future__ import annotations

import asyncio
import json

from tests.component.streams.direct import Direct
from tests.component.streams.lab import NODE, StreamLab, StreamNode, sleeper
from tests.edgecore.processes import ended


async def page(direct: Direct, path: str) -> str:
    """The body, asked as the API server does for its proxy of a node."""
    pipe = await direct.ask("GET", path, {"Connection": ["close"]})
    try:
        answer = (await asyncio.wait_for(pipe.reader.read(), 20)).decode()
    finally:
        await ended(pipe.writer)
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200"), answer
    if "transfer-encoding: chunked" in head.lower():
        body = "".join(body.split("\r\n")[1::2])
    return body


async def test_what_is_used_is_told_through_the_tunnel(lab: StreamLab, node: StreamNode) -> None:
    await lab.apply(sleeper("spinning", "while true; do :; done"))
    await lab.kubectl("logs", "spinning", "--tail=1")  # which makes the API server's certificate
    direct = Direct(lab, *await lab.published())
    text = await page(direct, "/metrics/resource")
    found = dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    label = '{container="main",namespace="default",pod="spinning"}'
    assert found["scrape_error"] == "0"
    assert float(found[f"container_memory_working_set_bytes{label}"].split()[0]) > 10_000
    assert float(found[f"container_start_time_seconds{label}"]) > 1.7e9
    assert float(found["node_cpu_usage_seconds_total"].split()[0]) > 0
    cores = 0
    async with asyncio.timeout(60):
        while not cores:
            await asyncio.sleep(1)
            summary = json.loads(await page(direct, "/stats/summary"))
            [pod] = [entry for entry in summary["pods"] if entry["podRef"]["name"] == "spinning"]
            cores = pod.get("cpu", {}).get("usageNanoCores", 0)
    assert cores > 10_000_000, "a hundredth of a core, which a busy machine leaves to it"
    assert summary["node"]["nodeName"] == NODE
    await lab.kubectl("delete", "pod", "spinning", "--wait=false")


async def test_kubectl_top_shows_nodes_and_pods_at_once(lab: StreamLab, node: StreamNode) -> None:
    await lab.apply(sleeper("turning", "while true; do :; done"))
    [head, row] = (await lab.kubectl("top", "nodes")).splitlines()
    assert head.split() == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    name, cores, share, memory, _ = row.split()
    assert name == NODE
    assert int(cores.removesuffix("m")) > 0
    assert share.endswith("%")
    assert memory.endswith("Mi")
    found = {line.split()[0]: line.split() for line in (await lab.kubectl("top", "pods")).splitlines()}
    assert int(found["turning"][1].removesuffix("m")) > 10, "a hundredth of a core"
    lines = (await lab.kubectl("top", "pod", "turning", "--containers")).splitlines()
    assert lines[0].split() == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert lines[1].split()[:2] == ["turning", "main"]
    await lab.kubectl("delete", "pod", "turning", "--wait=false")
    text = await lab.kubectl("top", "node", "none", fails=True)
    assert 'nodes "none" not found' in text

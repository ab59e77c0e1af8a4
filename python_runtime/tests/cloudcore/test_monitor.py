"""The monitor address: Prometheus' text, and what is not ready."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.cloudcore.cloud import Api, Cloud, running

from edgelab.cloudcore.metrics import LABELS_AT_MOST, Family, Histogram, Sample, exposition
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import ObjectList, Resource

LINE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path, replica="a") as found:
        await found.node()
        yield found


async def fetch(cloud: Cloud, path: str) -> tuple[int, str]:
    port = cloud.sockets.monitor.getsockname()[1]
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def values(text: str) -> dict[str, float]:
    """What Prometheus would read: every line is one that it knows, every name has its type first."""
    typed: dict[str, str] = {}
    found = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed
            typed[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            base = re.sub("_(bucket|sum|count)$", "", name) if name not in typed else name
            assert base in typed
            assert (typed[base] == "counter") == name.endswith("_total")
            found[f"{name}{{{labels}}}" if labels else name] = float(value)
    return found


async def test_the_numbers_of_a_node_that_works(cloud: Cloud) -> None:
    edge = await cloud.join()
    await cloud.pod()
    await edge.pushed("default/pod/web", "insert")
    await edge.ask("default/configmap/none", "query")
    assert edge.connection is not None
    await edge.connection.send("{")

    async def now() -> dict[str, float]:
        status, text = await fetch(cloud, "/metrics")
        assert status == 200
        return values(text)

    found = await now()
    while (
        found.get('edgelab_cloudhub_ack_seconds_count{kind="Pod"}') != 1
        or not found.get('edgelab_cloudhub_complaints_total{reason="MalformedMessage"}')
        or not found.get('edgelab_cloudcore_nodes{replica="a"}')
    ):
        found = await now()
    assert found["KubeEdge_CloudHub_connected_nodes"] == 1
    assert found['edgelab_cloudhub_node_connected{node="edge1"}'] == 1
    assert found["edgelab_cloudhub_nonsense_total"] == 1
    assert found['edgelab_cloudhub_upstream_seconds_count{module="edgecontroller"}'] == 1
    assert found['edgelab_cloudcore_info{replica="a"}'] == 1
    assert found["edgelab_cloudcore_replicas"] == 1
    assert found['edgelab_cloudcore_nodes{replica="a"}'] == 1
    assert found['edgelab_cloudcore_informer_connected{resource="pods"}'] == 1
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert 1.5e9 < found["process_start_time_seconds"] < 1e11
    await edge.close()
    while (await now())['edgelab_cloudhub_node_connected{node="edge1"}'] != 0:
        pass


async def test_ready_once_all_is_listed_and_told_in_detail(cloud: Cloud) -> None:
    for path in ("/healthz", "/readyz", "/livez"):
        assert await fetch(cloud, path) == (200, "ok")
    status, text = await fetch(cloud, "/readyz?verbose")
    assert status == 200
    lines = text.splitlines()
    assert "[+]informer/leases ok" in lines
    assert "[+]cloudhub ok" in lines
    assert lines[-1] == "ok"


class Unlisted(Api):
    """An API that does not list pods."""

    async def list(self, resource: Resource, namespace: str | None = None, **selectors: str) -> ObjectList:
        if resource.plural == "pods":
            raise Unreachable("no route to the server")
        return await super().list(resource, namespace, **selectors)


async def test_what_is_not_ready_is_named_and_the_process_lives(tmp_path: Path) -> None:
    async with running(tmp_path, Unlisted()) as cloud:
        text = ""

        async def told() -> bool:
            nonlocal text
            status, text = await fetch(cloud, "/healthz")
            assert status == 503
            return "no route" in text

        while not await told():
            pass
        assert "[-]informer/pods failed: no route to the server" in text
        assert "[-]cloudhub failed: does not listen yet" in text
        assert "informer/nodes" not in text
        assert await fetch(cloud, "/livez") == (200, "ok")


async def test_a_lease_that_cannot_be_written_keeps_no_node_away(tmp_path: Path) -> None:
    api = Api()
    api.broken = "leases"
    async with running(tmp_path, api) as cloud:
        edge = await cloud.join()
        assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
        status, text = await fetch(cloud, "/readyz?verbose")
        assert status == 200
        assert "[+]replica-lease ok: connection refused" in text
        await edge.close()


def test_text_is_escaped_and_buckets_add_up() -> None:
    histogram = Histogram("x_seconds", "two\nlines", "kind", (0.1, 1.0))
    for seconds in (0.1, 0.5, 7):
        histogram.observe('a"b\\c\n', seconds)
    text = exposition([histogram.family(), Family("y", "gauge", "Y.", [Sample(math.inf), Sample(2.5)])])
    assert text == (
        "# HELP x_seconds two\\nlines\n# TYPE x_seconds histogram\n"
        'x_seconds_bucket{kind="a\\"b\\\\c\\n",le="0.1"} 1\n'
        'x_seconds_bucket{kind="a\\"b\\\\c\\n",le="1"} 2\n'
        'x_seconds_bucket{kind="a\\"b\\\\c\\n",le="+Inf"} 3\n'
        'x_seconds_sum{kind="a\\"b\\\\c\\n"} 7.6\nx_seconds_count{kind="a\\"b\\\\c\\n"} 3\n'
        "# HELP y Y.\n# TYPE y gauge\ny +Inf\ny 2.5\n"
    )


def test_kinds_without_end_are_one() -> None:
    histogram = Histogram("x", "X.", "kind")
    for number in range(2 * LABELS_AT_MOST):
        histogram.observe(str(number), 1)
    counts = [s for s in histogram.family().samples if s.suffix == "_count"]
    assert len(counts) == LABELS_AT_MOST + 1
    assert sum(sample.value for sample in counts) == 2 * LABELS_AT_MOST

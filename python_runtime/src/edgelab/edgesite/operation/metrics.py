"""`/metrics`: requests, store, controllers and the process itself, read when somebody asks."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgelab import __version__
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.operation.prometheus import Page
from edgelab.edgesite.operation.requests import Requests
from edgelab.edgesite.store import Store

Writer = Callable[[Page], Any]
PROC = Path("/proc/self")


class Metrics:
    """The page; `others` add what only they know."""

    def __init__(self, requests: Requests, store: Store, others: Sequence[Writer] = ()) -> None:
        self._requests = requests
        self._store = store
        self._others = others

    async def text(self) -> str:
        """All numbers."""
        page = Page()
        page.family("edgesite_build_info", "gauge", "The version that runs.", [({"version": __version__}, 1)])
        self._requests.write(page)
        await self._write_store(page)
        write_queues(page)
        for write in self._others:
            write(page)
        write_process(page)
        return page.text()

    async def _write_store(self, page: Page) -> None:
        store, stats = self._store, self._store.stats
        size, free, floor = await store.sizes()
        objects = (({"resource": _qualified(name)}, n) for name, n in store.counts().items())
        page.family("apiserver_storage_objects", "gauge", "Objects stored, by resource.", objects)
        page.gauge("apiserver_storage_size_bytes", "Bytes of the database file.", size)
        page.gauge("edgesite_store_free_bytes", "Bytes of the file in pages that hold nothing.", free)
        page.gauge("edgesite_store_revision", "The newest revision.", store.revision)
        page.gauge("edgesite_store_compacted_revision", "The oldest revision that can be read.", floor)
        page.gauge("edgesite_store_writable", "1 unless the disk refused the last commit.", not store.refusal)
        page.counter("edgesite_store_rows_total", "Revisions committed.", stats.rows)
        page.counter("edgesite_store_refused_writes_total", "Writes that the disk refused.", stats.refused)
        page.counter(
            "edgesite_store_compactions_total", "Times that history was forgotten.", stats.compactions
        )
        page.histograms(
            "edgesite_store_commit_duration_seconds",
            "Seconds until a group of writes was on the disk.",
            [({}, stats.commits)],
        )


def _qualified(bucket: str) -> str:
    """`apps/deployments` as kube-apiserver writes it: `deployments.apps`."""
    group, _, plural = bucket.rpartition("/")
    return f"{plural}.{group}" if group else plural


def write_queues(page: Page) -> None:
    """The controllers' queues, under client-go's names (`util/workqueue/metrics.go`)."""
    depth, adds, retries = Counter[str](), Counter[str](), Counter[str]()
    for queue in list(WorkQueue.living):
        depth[queue.name] += queue.depth
        adds[queue.name] += queue.adds
        retries[queue.name] += queue.retries
    for name, kind, text, numbers in (
        ("workqueue_depth", "gauge", "Keys that wait for their turn.", depth),
        ("workqueue_adds_total", "counter", "Keys that were added.", adds),
        ("workqueue_retries_total", "counter", "Passes that failed and are repeated.", retries),
    ):
        page.family(name, kind, text, (({"name": queue}, numbers[queue]) for queue in sorted(numbers)))


def write_process(page: Page) -> None:
    """Memory, processor time and descriptors, under the names of Prometheus' client libraries."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ticks, page_size = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    fields = (PROC / "stat").read_text().rpartition(")")[2].split()  # the name may hold spaces
    booted = next(
        float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line[:5] == "btime"
    )
    seconds = usage.ru_utime + usage.ru_stime
    page.counter("process_cpu_seconds_total", "Processor time used.", seconds)
    page.gauge("process_resident_memory_bytes", "Memory in use.", int(fields[21]) * page_size)
    page.gauge("process_virtual_memory_bytes", "Address space in use.", int(fields[20]))
    page.gauge("process_start_time_seconds", "When it started.", booted + int(fields[19]) / ticks)
    page.gauge("process_open_fds", "File descriptors open.", len(os.listdir(PROC / "fd")))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    page.gauge("process_max_fds", "File descriptors allowed.", limit)

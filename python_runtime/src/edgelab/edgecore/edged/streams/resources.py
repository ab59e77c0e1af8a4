"""`/metrics/resource`, which metrics-server reads (kubelet `metrics/collectors/resource_metrics.go`).

Without the runtime it gives the node alone, and says that the rest is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgecore.edged.streams.usage import BILLION, Meter, PodUsage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRICS = {
    "container_cpu_usage_seconds_total": (
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    ),
    "container_memory_working_set_bytes": ("gauge", "[STABLE] Current working set of the container in bytes"),
    "container_start_time_seconds": (
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    ),
    "node_cpu_usage_seconds_total": (
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    ),
    "node_memory_working_set_bytes": ("gauge", "[STABLE] Current working set of the node in bytes"),
    "pod_cpu_usage_seconds_total": (
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    ),
    "pod_memory_working_set_bytes": ("gauge", "[STABLE] Current working set of the pod in bytes"),
    "resource_scrape_error": (
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    ),
    "scrape_error": ("gauge", "[ALPHA] 1 if there was an error while getting container metrics, 0 otherwise"),
}


async def text(meter: Meter) -> bytes:
    """The page, in Prometheus' text format; times are those of the readings."""
    lines: dict[str, list[str]] = {name: [] for name in METRICS}
    failed = 0
    try:
        pods = await meter.pods()
    except (RuntimeUnreachable, CriError):
        pods, failed = [], 1
    for usage in pods:
        for name, line in _of_pod(usage):
            lines[name].append(line)
    cpu, memory = meter.node_cpu(), meter.node_memory()
    lines["node_cpu_usage_seconds_total"].append(f" {cpu.total / BILLION} {cpu.time // 1_000_000}")
    lines["node_memory_working_set_bytes"].append(f" {memory.working_set} {memory.time // 1_000_000}")
    for name in ("resource_scrape_error", "scrape_error"):
        lines[name].append(f" {failed}")
    return "".join(_sections(lines.items())).encode()


def _sections(lines: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    for name, found in lines:
        kind, told = METRICS[name]
        if found:
            yield f"# HELP {name} {told}\n# TYPE {name} {kind}\n"
            yield from (f"{name}{line}\n" for line in found)


def _of_pod(usage: PodUsage) -> Iterator[tuple[str, str]]:
    metadata = usage.pod["metadata"]
    where = f'namespace="{metadata.get("namespace", "")}",pod="{metadata["name"]}"'
    for container in usage.containers:
        label = f'{{container="{container.name}",{where}}}'
        cpu, memory = container.cpu, container.memory
        yield (
            "container_cpu_usage_seconds_total",
            f"{label} {cpu.total / BILLION} {cpu.time // 1_000_000}",
        )
        yield (
            "container_memory_working_set_bytes",
            f"{label} {memory.working_set} {memory.time // 1_000_000}",
        )
        if container.started:
            started = parse_rfc3339(container.started).timestamp()
            yield "container_start_time_seconds", f"{label} {started}"
    if usage.containers:
        at = max(container.cpu.time for container in usage.containers) // 1_000_000
        total = sum(container.cpu.total for container in usage.containers)
        working = sum(container.memory.working_set for container in usage.containers)
        yield "pod_cpu_usage_seconds_total", f"{{{where}}} {total / BILLION} {at}"
        yield "pod_memory_working_set_bytes", f"{{{where}}} {working} {at}"

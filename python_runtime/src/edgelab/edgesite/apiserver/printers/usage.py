"""How usage is printed (metrics-server's `pkg/api/table.go`): name, CPU, memory, window."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import Cells, Obj
from edgelab.edgesite.apiserver.usage.quantities import cpu, memory, nanocores
from edgelab.objects import quantity


def node(obj: Obj, _now: dt.datetime) -> list[Any]:
    """A NodeMetrics's row."""
    usage = obj.get("usage") or {}
    return [obj["metadata"]["name"], usage.get("cpu", "0"), usage.get("memory", "0"), _window(obj)]


def pod(obj: Obj, _now: dt.datetime) -> list[Any]:
    """A PodMetrics's row: its containers together."""
    used = [container["usage"] for container in obj.get("containers") or ()]
    cores = sum(nanocores(usage["cpu"]) for usage in used)
    working = sum(quantity.whole(usage["memory"]) for usage in used)
    return [obj["metadata"]["name"], cpu(cores), memory(working), _window(obj)]


def _window(obj: Obj) -> str:
    return str(obj.get("window", "0s"))


PRINTERS: dict[tuple[str, str], Cells] = {
    ("metrics.k8s.io", "NodeMetrics"): node,
    ("metrics.k8s.io", "PodMetrics"): pod,
}

"""Which of the fitting nodes is best, with the weights of kube-scheduler's default plugins. No I/O.

Facts: pkg/scheduler/framework/plugins/{tainttoleration,nodeaffinity,noderesources,podtopologyspread,
interpodaffinity,imagelocality}. Each plugin gives whole numbers from 0 to 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgelab.edgesite.scheduler.demand import CPU, MEMORY
from edgelab.edgesite.scheduler.ledger import Images
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.nodes import preference, preferred_terms, tolerates
from edgelab.edgesite.scheduler.plugins.affinity import Pair
from edgelab.edgesite.scheduler.podinfo import PodInfo

MOST = 100
MIB = 1 << 20
LEAST_IMAGE, MOST_IMAGE = 23 * MIB, 1000 * MIB
"""Images below the first size count nothing, above the second (for each container) no more."""


def taints(pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
    """Fewer taints with PreferNoSchedule are better."""
    tolerations = [
        item
        for item in pod.obj["spec"].get("tolerations") or ()
        if item.get("effect") in (None, "", "PreferNoSchedule")
    ]
    counts = [
        sum(
            1
            for taint in node.spec.get("taints") or ()
            if taint.get("effect") == "PreferNoSchedule"
            and not any(tolerates(item, taint) for item in tolerations)
        )
        for node in nodes
    ]
    top = max(counts)
    return [MOST - MOST * count // top if top else MOST for count in counts]


def node_affinity(pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
    """Preferred node affinity."""
    spec = pod.obj["spec"]
    if not preferred_terms(spec):
        return [0] * len(nodes)
    weights = [preference(spec, node.labels, node.name) for node in nodes]
    top = max(weights)
    return [MOST * weight // top for weight in weights] if top else weights


def least_allocated(pod: PodInfo, node: NodeInfo) -> int:
    """The emptier the better."""
    shares = [
        _free(node.cpu + pod.demand.cpu, node.allocatable.get(CPU, 0)),
        _free(node.memory + pod.demand.memory, node.allocatable.get(MEMORY, 0)),
    ]
    counted = [share for share in shares if share is not None]
    return sum(counted) // len(counted) if counted else 0


def _free(wanted: int, offered: int) -> int | None:
    if not offered:
        return None
    return (offered - wanted) * MOST // offered if wanted <= offered else 0


def balance(pod: PodInfo, node: NodeInfo) -> int:
    """CPU and memory used to the same degree; pods that ask for neither do not care."""
    asked = pod.demand.requests
    if not asked.get(CPU) and not asked.get(MEMORY):
        return 0
    used = [
        min(1.0, (node.requested[name] + asked.get(name, 0)) / node.allocatable[name])
        for name in (CPU, MEMORY)
        if node.allocatable.get(name)
    ]
    deviation = abs((used[0] - used[1]) / 2) if len(used) == 2 else 0.0
    return int((1 - deviation) * MOST)


def images(pod: PodInfo, nodes: Sequence[NodeInfo], known: Images, total: int) -> list[int]:
    """Images that are there already, less so when they are on few nodes only."""
    spec = pod.obj["spec"]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    names = [_image(container.get("image") or "") for container in containers]
    ceiling = MOST_IMAGE * len(containers)
    found = [sum(known.worth(name, total) for name in names if name in node.images) for node in nodes]
    spread = ceiling - LEAST_IMAGE
    return [MOST * (min(max(size, LEAST_IMAGE), ceiling) - LEAST_IMAGE) // spread for size in found]


def _image(name: str) -> str:
    return f"{name}:latest" if name.rfind(":") <= name.rfind("/") else name


def neighbours(found: Mapping[Pair, int], nodes: Sequence[NodeInfo]) -> list[int]:
    """Preferences about other pods."""
    raw = [sum(found.get(pair, 0) for pair in node.labels.items()) for node in nodes]
    low, high = min(raw), max(raw)
    return [int(float(MOST) * (float(value - low) / float(high - low))) if high > low else 0 for value in raw]

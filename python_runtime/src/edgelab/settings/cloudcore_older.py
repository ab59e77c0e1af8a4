"""Keys that cloudcore.yaml had in older releases: moved, or named with the reason why they are gone.

Source: the change logs of KubeEdge 1.3 to 1.20 and its `cloudcore/v1alpha1/types.go` of those times.
"""

from __future__ import annotations

from typing import Any

from edgelab.settings.document import Problem

_BUFFERS = "the edge lists Services and Endpoints through MetaServer"
REMOVED = {
    "leaderelection": "CloudCores share nodes by Leases; there is no leader",
    "modules.edgeController.context": "modules of a program are not addressed by name",
    "modules.deviceController.context": "modules of a program are not addressed by name",
    "modules.edgeController.buffer.serviceEvent": _BUFFERS,
    "modules.edgeController.buffer.endpointsEvent": _BUFFERS,
    "modules.edgeController.buffer.queryService": _BUFFERS,
    "modules.edgeController.buffer.queryEndpoints": _BUFFERS,
    "modules.edgeController.load.queryServiceWorkers": _BUFFERS,
    "modules.edgeController.load.queryEndpointsWorkers": _BUFFERS,
    "modules.edgeMesh": "EdgeMesh is a program of its own",
    "modules.imagePrePullController": "image pre-pull jobs belong to modules.taskManager",
}
MOVED = {"modules.nodeUpgradeJobController": "modules.taskManager"}
RENAMED_FIELDS = {"nodeUpgradeJobStatus": "taskStatus", "nodeUpgradeJobEvent": "taskEvent"}
RENAMED_FIELDS |= {"nodeUpgradeJobWorkers": "taskWorkers"}


def migrate(document: dict[str, Any]) -> list[Problem]:
    """Change `document` in place to today's layout; the findings are warnings, one a key."""
    warnings = []
    for path, reason in REMOVED.items():
        parent, key = _parent(document, path)
        if parent is not None:
            del parent[key]
            warnings.append(Problem(path, f"removed: {reason}"))
    for path, target in MOVED.items():
        parent, key = _parent(document, path)
        if parent is not None:
            moved = parent.pop(key)
            parent.setdefault(target.rpartition(".")[2], _renamed(moved))
            warnings.append(Problem(path, f"moved: now {target}"))
    return warnings


def _parent(document: dict[str, Any], path: str) -> tuple[dict[str, Any] | None, str]:
    *above, key = path.split(".")
    found: Any = document
    for name in above:
        found = found.get(name) if isinstance(found, dict) else None
    return (found, key) if isinstance(found, dict) and key in found else (None, key)


def _renamed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {RENAMED_FIELDS.get(key, key): _renamed(item) for key, item in value.items()}

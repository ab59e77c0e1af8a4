"""What a client is warned of although its object is valid (`WarningsOnCreate` and `WarningsOnUpdate`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.strategies.warnings import others, workloads

Obj = dict[str, Any]
Advice = Callable[[Obj, Obj | None], list[str]]

ADVICE: dict[tuple[str, str], Advice] = {
    ("", "Endpoints"): others.endpoints,
    ("", "Node"): others.node,
    ("", "PersistentVolume"): others.volume,
    ("", "PersistentVolumeClaim"): others.claim,
    ("", "Pod"): workloads.pod,
    ("", "PodTemplate"): workloads.pod_template,
    ("", "ReplicationController"): workloads.named,
    ("", "Secret"): others.secret,
    ("", "Service"): others.service,
    ("apps", "DaemonSet"): workloads.templated,
    ("apps", "Deployment"): workloads.named,
    ("apps", "ReplicaSet"): workloads.named,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("batch", "CronJob"): workloads.cron_job,
    ("batch", "Job"): workloads.job,
    ("networking.k8s.io", "Ingress"): others.ingress,
    ("node.k8s.io", "RuntimeClass"): others.runtime_class,
    ("storage.k8s.io", "CSIStorageCapacity"): others.capacity,
    ("storage.k8s.io", "StorageClass"): others.storage_class,
}


def advice(group: str, kind: str, new: Obj, old: Obj | None) -> list[str]:
    """What there is to say of a new object (`old` is None) or a changed one."""
    found = ADVICE.get((group, kind))
    return [] if found is None else found(new, old)

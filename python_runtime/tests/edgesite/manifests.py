"""Objects as users write them (after the API server's defaults)."""

from __future__ import annotations

from typing import Any

from edgelab.kube.interface import Obj


def pod_spec(image: str = "nginx", **spec: Any) -> Obj:
    return {
        "containers": [{"name": "c", "image": image, "resources": {}}],
        "schedulerName": "default-scheduler",
        "restartPolicy": "Always",
        **spec,
    }


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels or {}},
        "spec": pod_spec(**spec),
        "status": {"phase": "Pending"},
    }


def deployment(name: str = "web", replicas: int = 3, image: str = "nginx", **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec(image)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }

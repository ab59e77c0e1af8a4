"""A database as EdgeCore leaves it: KubeEdge's tables with a few objects."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

Obj = dict[str, Any]


def meta(name: str, namespace: str = "default", **more: Any) -> Obj:
    return {"name": name, "namespace": namespace, "uid": f"uid-{name}", **more}


def pod(name: str, namespace: str = "default", **labels: str) -> Obj:
    metadata = meta(name, namespace, labels=labels, creationTimestamp="2026-01-01T00:00:00Z")
    return {"metadata": metadata, "spec": {"nodeName": "edge1", "containers": [{"name": "c"}]}}


def running(ip: str, restarts: int = 0) -> Obj:
    state = {"name": "c", "ready": True, "restartCount": restarts, "state": {"running": {}}}
    return {"status": {"phase": "Running", "podIP": ip, "containerStatuses": [state]}}


def waiting(reason: str, message: str) -> Obj:
    state = {"name": "c", "ready": False, "restartCount": 4}
    state |= {"state": {"waiting": {"reason": reason, "message": message}}}
    state |= {"lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no such table"}}}
    return {"status": {"phase": "Pending", "containerStatuses": [state]}}


NODE = {
    "metadata": {"name": "edge1", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.32-kubeedge-1.23", "containerRuntimeVersion": "containerd://1.7"},
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
    },
}
ROWS: list[tuple[str, str, Obj]] = [
    ("default/pod/web", "pod", pod("web", app="web")),
    ("default/podpatch/web", "podpatch", running("10.0.0.5", 2)),
    ("default/pod/bad", "pod", pod("bad", app="bad")),
    ("default/podpatch/bad", "podpatch", waiting("CrashLoopBackOff", "back-off 40s")),
    ("other/pod/new", "pod", pod("new", "other")),
    ("null/node/edge1", "node", NODE),
    ("default/secret/s", "secret", {"metadata": meta("s"), "data": {"k": "aGlkZGVu"}, "type": "Opaque"}),
    ("default/configmap/c", "configmap", {"metadata": meta("c"), "data": {"a": "1", "b": "2"}}),
]
SERVICE = {
    "metadata": meta("svc"),
    "spec": {"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 18050}]},
}


def write(path: Path) -> Path:
    """The file, closed, without a write-ahead log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE meta (key text PRIMARY KEY, type text, value text)")
        file.execute(
            "CREATE TABLE meta_v2 (key text PRIMARY KEY, group_version_resource text, namespace text,"
            " name text, resource_version integer, value text)"
        )
        file.executemany("INSERT INTO meta VALUES (?, ?, ?)", [(k, t, json.dumps(v)) for k, t, v in ROWS])
        file.execute("INSERT INTO meta VALUES ('default/pod/broken', 'pod', 'no JSON')")
        row = ("/core/v1/services/default/svc", "/v1, Resource=services", "default", "svc", 7)
        file.execute("INSERT INTO meta_v2 VALUES (?, ?, ?, ?, ?, ?)", (*row, json.dumps(SERVICE)))
    file.close()
    return path

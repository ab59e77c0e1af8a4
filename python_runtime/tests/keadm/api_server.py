"""A small API server on a real socket: objects by path, lists, discovery, merge patches, server defaults."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from edgelab.objects import selectors

Obj = dict[str, Any]

KINDS = {
    "/api/v1": [
        ("namespaces", "Namespace", False),
        ("nodes", "Node", False),
        ("configmaps", "ConfigMap", True),
        ("secrets", "Secret", True),
        ("secrets/status", "Secret", True),
    ],
    "/apis/apps/v1": [("deployments", "Deployment", True)],
    "/apis/devices.kubeedge.io/v1beta1": [
        ("devices", "Device", True),
        ("devicemodels", "DeviceModel", True),
        ("devicestatuses", "DeviceStatus", True),
    ],
    "/apis/apiextensions.k8s.io/v1": [("customresourcedefinitions", "CustomResourceDefinition", False)],
}

COLLECTIONS = {"nodes", "secrets", "pods", "daemonsets", "deployments", "replicasets"}
COLLECTIONS |= {"devices", "devicemodels", "devicestatuses"}


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def add_defaults(obj: Obj) -> None:
    """What a server adds by itself: container defaults and the conditions of a CRD."""
    for container in obj.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        container.setdefault("imagePullPolicy", "IfNotPresent")
    if obj.get("kind") == "CustomResourceDefinition":
        obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}


def missing(path: str) -> tuple[int, Obj]:
    return 404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{path} not found"}


class ApiServer:
    """Serve until `close`; `objects` maps paths to what is stored."""

    def __init__(self) -> None:
        self.objects: dict[str, Obj] = {}
        self.writes: list[tuple[str, str]] = []
        self.revisions = itertools.count(1)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet: a second one would wait for the first to be confirmed

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = owner.answer(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; a second call does nothing."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write_kubeconfig(self, path: Path) -> Path:
        server = f"http://127.0.0.1:{self._server.server_address[1]}"
        named = {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        }
        path.write_text(json.dumps({"current-context": "c", **named}))
        return path

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Obj]:
        path, _, query = path.partition("?")
        if method == "GET":
            return self.read(path, parse_qs(query))
        if "dryRun" in parse_qs(query):
            return 200, body
        if method == "POST":
            return self.post(path, body)
        return self.change(method, path, body) if path in self.objects else missing(path)

    def post(self, path: str, body: Any) -> tuple[int, Obj]:
        if path.endswith("/eviction"):
            return self.evict(path.removesuffix("/eviction"))
        return 201, self.store("POST", f"{path}/{body['metadata']['name']}", body)

    def change(self, method: str, path: str, body: Any) -> tuple[int, Obj]:
        if method == "DELETE":
            self.writes.append((method, path))
            return 200, self.objects.pop(path)
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted not in (None, self.objects[path]["metadata"]["resourceVersion"]):
            return 409, {"kind": "Status", "code": 409, "reason": "Conflict", "message": "modified"}
        if method == "PATCH":
            return 200, self.store(method, path, merge_patch(self.objects[path], body))
        return 200, self.store(method, path, body)

    def read(self, path: str, query: dict[str, list[str]]) -> tuple[int, Obj]:
        if path in KINDS:
            keys = ("name", "kind", "namespaced")
            return 200, {"resources": [dict(zip(keys, kind, strict=True)) for kind in KINDS[path]]}
        if path.rpartition("/")[2] in COLLECTIONS:
            return 200, self.list(path, query)
        return (200, self.objects[path]) if path in self.objects else missing(path)

    def list(self, path: str, query: dict[str, list[str]]) -> Obj:
        """Objects of a collection; `/api/v1/pods` holds those of all namespaces."""
        labels = selectors.parse_labels(query.get("labelSelector", [""])[0])
        fields = selectors.parse_fields(query.get("fieldSelector", [""])[0])
        prefix, plural = path.rsplit("/", 1)
        items = [
            obj
            for where, obj in sorted(self.objects.items())
            if where.startswith(prefix + "/")
            and where.split("/")[-2] == plural
            and labels.matches(obj["metadata"].get("labels"))
            and fields.matches(lambda name, obj=obj: selectors.field_value(obj, name))
        ]
        return {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}

    def evict(self, path: str) -> tuple[int, Obj]:
        """What the eviction of a pod is answered with: 429 as often as its annotation says."""
        pod = self.objects.get(path)
        if pod is None:
            return 404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": "no such pod"}
        annotations = pod["metadata"].get("annotations", {})
        left = int(annotations.get("test/budget", "0"))
        if left:
            annotations["test/budget"] = str(left - 1)
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            return 429, {"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": message}
        self.writes.append(("EVICT", path))
        if "test/stays" not in annotations:
            del self.objects[path]
        return 201, {"kind": "Status", "status": "Success"}

    def store(self, method: str, path: str, obj: Obj) -> Obj:
        self.writes.append((method, path))
        obj = json.loads(json.dumps(obj))
        add_defaults(obj)
        before = self.objects.get(path)
        if before is not None and _bare(before) == _bare(obj):
            return before
        obj["metadata"]["resourceVersion"] = str(next(self.revisions))
        self.objects[path] = obj
        return obj


def _bare(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": metadata}

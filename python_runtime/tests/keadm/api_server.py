"""A small API server on a real socket: objects by path, discovery, merge patches, server defaults."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
    "/apis/apiextensions.k8s.io/v1": [("customresourcedefinitions", "CustomResourceDefinition", False)],
}


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


class ApiServer:
    """Serve until `close`; `objects` maps paths to what is stored."""

    def __init__(self) -> None:
        self.objects: dict[str, Obj] = {}
        self.writes: list[tuple[str, str]] = []
        self.revisions = itertools.count(1)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = owner.answer(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = _do

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
        if method == "GET" and path in KINDS:
            keys = ("name", "kind", "namespaced")
            return 200, {"resources": [dict(zip(keys, kind, strict=True)) for kind in KINDS[path]]}
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            return 201, self.store(method, path, body)
        if path not in self.objects:
            return 404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{path} not found"}
        if method == "PATCH":
            return 200, self.store(method, path, merge_patch(self.objects[path], body))
        if method == "DELETE":
            self.writes.append((method, path))
            return 200, self.objects.pop(path)
        return 200, self.objects[path]

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

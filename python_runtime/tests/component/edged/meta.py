"""MetaManager in memory: what it stores, and what the cloud behind it would answer."""

from __future__ import annotations

import base64
import copy
import itertools
import uuid
from typing import Any

from edgelab.edgecore.interfaces import Offline, RemoteError

Obj = dict[str, Any]


class FakeMeta:
    """`interfaces.Meta` over dictionaries; `online` decides whether the cloud answers."""

    def __init__(self) -> None:
        self.online = True
        self.stored_pods: dict[str, Obj] = {}
        self.nodes: dict[str, Obj] = {}
        self.mirrors: dict[str, Obj] = {}
        self.unknown: set[str] = set()
        self.leases: dict[str, Obj] = {}
        self.objects: dict[tuple[str, str, str], Obj] = {}
        self.statuses: dict[str, Obj] = {}
        self.history: list[tuple[str, Obj]] = []
        self.deleted: list[str] = []
        self.events: list[Obj] = []
        self.created_events = 0
        self.node_patches: list[Obj] = []
        self._versions = itertools.count(1)

    def put(self, kind: str, name: str, data: dict[str, str], namespace: str = "default") -> None:
        if kind == "secret":
            data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.objects[kind, namespace, name] = {"metadata": {"name": name}, "data": data}

    def pods(self) -> list[Obj]:
        return copy.deepcopy(list(self.stored_pods.values()))

    def node(self, name: str) -> Obj | None:
        return self.nodes.get(name)

    async def config_map(self, namespace: str, name: str) -> Obj:
        return self._object("configmap", namespace, name)

    async def secret(self, namespace: str, name: str) -> Obj:
        return self._object("secret", namespace, name)

    async def service_account_token(self, namespace: str, name: str, request: Obj) -> Obj:
        self._cloud()
        return {**request, "status": {"token": f"token-of-{name}", "expirationTimestamp": None}}

    async def query_node(self, name: str) -> Obj:
        self._cloud()
        if name not in self.nodes:
            raise RemoteError(f'nodes "{name}" not found', reason="NotFound", code=404)
        return copy.deepcopy(self.nodes[name])

    async def create_node(self, node: Obj) -> Obj:
        self._cloud()
        name = node["metadata"]["name"]
        if name in self.nodes:
            raise RemoteError(f'nodes "{name}" already exists', reason="AlreadyExists", code=409)
        self.nodes[name] = copy.deepcopy(node)
        self.nodes[name]["metadata"]["uid"] = str(uuid.uuid4())
        return self.nodes[name]

    async def update_node(self, node: Obj) -> None:
        self._cloud()
        self.nodes[node["metadata"]["name"]] = copy.deepcopy(node)

    async def patch_node_status(self, name: str, patch: Obj) -> Obj:
        self._cloud()
        if name not in self.nodes:
            raise RemoteError(f'nodes "{name}" not found', reason="NotFound", code=404)
        self.nodes[name]["status"] = copy.deepcopy(patch["status"])
        self.node_patches.append(patch)
        return self.nodes[name]

    async def patch_pod_status(self, namespace: str, name: str, patch: Obj) -> Obj:
        self._cloud()
        if name in self.unknown:
            raise RemoteError(f'pods "{name}" not found', reason="NotFound", code=404)
        self.statuses[name] = copy.deepcopy(patch["status"])
        self.history.append((name, self.statuses[name]))
        for pod in self.stored_pods.values():
            if pod["metadata"]["uid"] == patch["metadata"]["uid"]:
                pod["status"] = self.statuses[name]
        return {}

    async def forget_pod(self, namespace: str, name: str, uid: str) -> None:
        self.stored_pods.pop(uid, None)

    async def create_pod(self, pod: Obj) -> Obj:
        self._cloud()
        metadata = pod["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        if key in self.mirrors:
            raise RemoteError(f"pods {key} already exists", reason="AlreadyExists", code=409)
        made = copy.deepcopy(pod)
        made["metadata"]["uid"] = str(uuid.uuid4())
        self.mirrors[key] = made
        return copy.deepcopy(made)

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        self._cloud()
        self.deleted.append(uid)
        self.mirrors.pop(f"{namespace}/{name}", None)

    async def send_event(self, event: Obj, *, create: bool) -> None:
        self._cloud()
        self.events.append(copy.deepcopy(event))
        self.created_events += create

    async def get_lease(self, name: str) -> Obj:
        self._cloud()
        if name not in self.leases:
            raise RemoteError(f'leases "{name}" not found', reason="NotFound", code=404)
        return copy.deepcopy(self.leases[name])

    async def put_lease(self, lease: Obj, *, create: bool) -> Obj:
        self._cloud()
        name, known = lease["metadata"]["name"], self.leases.get(lease["metadata"]["name"])
        if create and known:
            raise RemoteError("exists", reason="AlreadyExists", code=409)
        if not create:
            if known is None:
                raise RemoteError("not found", reason="NotFound", code=404)
            if known["metadata"]["resourceVersion"] != lease["metadata"].get("resourceVersion"):
                raise RemoteError("modified", reason="Conflict", code=409)
        self.leases[name] = copy.deepcopy(lease)
        self.leases[name]["metadata"]["resourceVersion"] = str(next(self._versions))
        return copy.deepcopy(self.leases[name])

    def _object(self, kind: str, namespace: str, name: str) -> Obj:
        found = self.objects.get((kind, namespace, name))
        if found is None:
            self._cloud()
            raise RemoteError(f'{kind}s "{name}" not found', reason="NotFound", code=404)
        return found

    def _cloud(self) -> None:
        if not self.online:
            raise Offline("the cloud is not connected")

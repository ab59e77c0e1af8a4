"""What a node may do with its own identity (`plugin/pkg/auth/authorizer/node`).

Secrets, config maps, claims, volumes and accounts: those of pods that are bound to it. Its own Node,
Lease and CSINode. Everything else that kubelets do is in one list of rules for all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.access.podreferences import claims, config_maps, secrets
from edgelab.edgesite.apiserver.access.rbac import Rule, Wanted, covers
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.store import Key, Store

Obj = dict[str, Any]

NODES_GROUP = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
MIRROR = "kubernetes.io/config.mirror"
OWN_VERBS = ("get", "create", "update", "patch", "delete")
READ = ["get", "list", "watch"]
RULES: tuple[Rule, ...] = (
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["subjectaccessreviews", "localsubjectaccessreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": [""], "resources": ["services"], "verbs": READ},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "update", "patch"]},
    {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get"]},
    {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"],
        "verbs": ["create", *READ],
    },
    {"apiGroups": ["storage.k8s.io"], "resources": ["csidrivers"], "verbs": READ},
    {"apiGroups": ["node.k8s.io"], "resources": ["runtimeclasses"], "verbs": READ},
)


class NodeWanted(Wanted, Protocol):
    """What is asked for, with the field selector of a list."""

    @property
    def field_selector(self) -> str:
        """The selector as it was written."""
        ...


def node_of(user: User) -> str | None:
    """The node that a user is, or None (`pkg/auth/nodeidentifier`)."""
    if NODES_GROUP not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


class NodeRules:
    """Decides by the pods that the store has."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._special: dict[tuple[str, str], Callable[[str, NodeWanted], str | None]] = {
            ("", "secrets"): self._read_of_pods,
            ("", "configmaps"): self._read_of_pods,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    def refusal(self, node: str, wanted: NodeWanted, user: str) -> str | None:
        """None if a node may do it, else the reason (often an empty one)."""
        if not node:
            return f'unknown node for user "{user}"'
        rule = None if wanted.path else self._special.get((wanted.group, wanted.resource))
        if rule is not None:
            return rule(node, wanted)
        return None if any(covers(item, wanted) for item in RULES) else ""

    def _read_of_pods(self, node: str, wanted: NodeWanted) -> str | None:
        if wanted.verb not in READ:
            return "can only read resources of this type"
        if wanted.subresource:
            return "cannot read subresource"
        if not wanted.namespace:
            return "can only read namespaced object of this type"
        return self._related(node, wanted)

    def _claim(self, node: str, wanted: NodeWanted) -> str | None:
        if wanted.subresource != "status":
            return self._get(node, wanted)
        if wanted.verb not in ("update", "patch"):
            return "can only get/update/patch this type"
        return self._related(node, wanted)

    def _get(self, node: str, wanted: NodeWanted) -> str | None:
        if wanted.verb != "get":
            return "can only get individual resources of this type"
        if wanted.subresource:
            return "cannot get subresource"
        return self._related(node, wanted)

    def _account(self, node: str, wanted: NodeWanted) -> str | None:
        if wanted.verb == "get" and not wanted.subresource:
            return self._read_of_pods(node, wanted)
        if wanted.verb != "create" or not wanted.name:
            return "can only create tokens for individual service accounts"
        if wanted.subresource != "token":
            return "can only create token subresource of serviceaccount"
        return self._related(node, wanted)

    def _pod(self, node: str, wanted: NodeWanted) -> str | None:
        verb, subresource = wanted.verb, wanted.subresource
        if not subresource and verb == "get":
            return self._get(node, wanted)
        if not subresource and verb in ("list", "watch"):
            if f"spec.nodeName={node}" in wanted.field_selector.replace("==", "=").split(","):
                return None
            if wanted.name:
                return self._related(node, wanted)
            return "can only list/watch pods with spec.nodeName field selector"
        own = {"": ("create", "delete"), "status": ("update", "patch"), "eviction": ("create",)}
        return None if verb in own.get(subresource, ()) else ""

    def _related(self, node: str, wanted: NodeWanted) -> str | None:
        if not wanted.name:
            return "No Object name found"
        if self._is_related(node, wanted.resource, wanted.namespace, wanted.name):
            return None
        return f"no relationship found between node '{node}' and this object"

    def _is_related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        if resource == "pods":
            entry = self._store.get(Key("pods", namespace, name))
            return entry is not None and entry.field("spec.nodeName") == node
        if resource == "volumeattachments":
            entry = self._store.get(Key("storage.k8s.io/volumeattachments", "", name))
            return entry is not None and entry.field("spec.nodeName") == node
        if resource == "persistentvolumes":
            return self._has_volume(node, name)
        found = any(name in _names(resource, pod) for pod in self._pods(node, namespace))
        return found or (resource == "secrets" and self._is_volume_secret(node, namespace, name))

    def _pods(self, node: str, namespace: str) -> Iterator[Obj]:
        """The node's pods in a namespace; not the mirrors of its own files, which it makes itself."""
        for entry in self._store.entries("pods", namespace):
            if entry.field("spec.nodeName") == node:
                pod = codec.decode(entry.data)
                if MIRROR not in (pod["metadata"].get("annotations") or {}):
                    yield pod

    def _has_volume(self, node: str, name: str) -> bool:
        entry = self._store.get(Key("persistentvolumes", "", name))
        claim = (codec.decode(entry.data)["spec"].get("claimRef") or {}) if entry is not None else {}
        namespace, wanted = claim.get("namespace") or "", claim.get("name") or ""
        return bool(namespace) and any(wanted in claims(pod) for pod in self._pods(node, namespace))

    def _is_volume_secret(self, node: str, namespace: str, name: str) -> bool:
        """Secrets that a volume of the node's pods needs."""
        for entry in self._store.entries("persistentvolumes"):
            if name.encode() in entry.data:
                spec = codec.decode(entry.data)["spec"]
                needed = _volume_secrets(spec, (spec.get("claimRef") or {}).get("namespace") or "")
                if (namespace, name) in needed and self._has_volume(node, entry.key.name):
                    return True
        return False


def _names(resource: str, pod: Obj) -> set[str]:
    if resource == "secrets":
        return secrets(pod)
    if resource == "configmaps":
        return config_maps(pod)
    if resource == "persistentvolumeclaims":
        return claims(pod)
    return {pod["spec"].get("serviceAccountName") or ""}


def _volume_secrets(spec: Obj, namespace: str) -> set[tuple[str, str]]:
    """(namespace, name) of the secrets that a PersistentVolume names (`pkg/api/v1/persistentvolume`)."""
    found: set[tuple[str, str]] = set()
    azure = spec.get("azureFile") or {}
    if azure.get("secretName"):
        found.add((azure.get("secretNamespace") or namespace, azure["secretName"]))
    for source in spec.values():
        if isinstance(source, dict):
            references = (value for key, value in source.items() if key.endswith("ecretRef"))
            for reference in references:
                if isinstance(reference, dict) and reference.get("name"):
                    found.add((reference.get("namespace") or namespace, reference["name"]))
    return found


def _lease(node: str, wanted: NodeWanted) -> str | None:
    if wanted.verb not in OWN_VERBS:
        return "can only get, create, update, patch, or delete a node lease"
    if wanted.namespace != LEASES:
        return f'can only access leases in the "{LEASES}" system namespace'
    if wanted.verb != "create" and wanted.name != node:
        return "can only access node lease with the same name as the requesting node"
    return None


def _csi_node(node: str, wanted: NodeWanted) -> str | None:
    if wanted.verb not in OWN_VERBS:
        return "can only get, create, update, patch, or delete a CSINode"
    if wanted.subresource:
        return "cannot authorize CSINode subresources"
    if wanted.verb != "create" and wanted.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return None


def _node(node: str, wanted: NodeWanted) -> str | None:
    verb, subresource = wanted.verb, wanted.subresource
    if not subresource and verb in READ:
        if wanted.name == node:
            return None
        if not wanted.name:
            return f"node '{node}' cannot read all nodes, only its own Node object"
        return f"node '{node}' cannot read '{wanted.name}', only its own Node object"
    own = {"": ("create", "update", "patch"), "status": ("update", "patch")}
    return None if verb in own.get(subresource, ()) else ""

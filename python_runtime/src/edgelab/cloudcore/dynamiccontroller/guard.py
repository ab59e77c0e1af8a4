"""What a node may ask of the API through its MetaServer.

With `modules.cloudHub.authorization` in force every request is judged by the API server as the node's own
(`system:node:<node>`, group `system:nodes`). Without it CloudCore's rights would do for every node, so
this keeps nodes to what programs at the edge need; the original does not.
"""

from __future__ import annotations

from edgelab.cloudcore.edgecontroller.permissions import Permissions
from edgelab.kube.interface import Obj
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key
from edgelab.protocol.resource import Resource

WRITING = frozenset({"create", "update", "updatestatus", "patch", "delete"})
CORE_WRITABLE = frozenset({"configmaps", "services", "endpoints", "events"})
GROUPS_WRITABLE = frozenset(
    {
        "authorization.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "devices.kubeedge.io",
    }
)
GUARDED_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})


class Guard:
    """Raises ApiError (403). Without `permissions` nobody knows which Secrets a node uses: it gets none."""

    def __init__(self, permissions: Permissions | None, own_namespace: str) -> None:
        self._permissions = permissions
        self._guarded = GUARDED_NAMESPACES | {own_namespace}

    def check(self, node: str, verb: str, key: Key, subresource: str = "", body: Obj | None = None) -> None:
        """May the node do this? `body` is what it sends along."""
        if verb in WRITING:
            self._check_write(node, verb, key, subresource, body or {})
        elif verb == "get" and is_secret(key):
            self._check_secret(node, key)

    def sees(self, node: str, key: Key, obj: Obj) -> bool:
        """Whether an object of a list or watch is shown to the node."""
        if not is_secret(key):
            return True
        metadata = obj.get("metadata") or {}
        found = key._replace(namespace=metadata.get("namespace") or "", name=metadata.get("name") or "")
        try:
            self._check_secret(node, found)
        except ApiError:
            return False
        return True

    def _check_secret(self, node: str, key: Key) -> None:
        if self._permissions is None:
            raise _forbidden(key, "modules.edgeController is off, which knows what nodes use")
        self._permissions.check_read(node, Resource(key.namespace, "secret", key.name))

    def _check_write(self, node: str, verb: str, key: Key, subresource: str, body: Obj) -> None:
        if key.group == "" and key.resource in ("nodes", "pods", "serviceaccounts"):
            self._check_own(node, verb, key, subresource, body)
            return
        custom = "." in key.group and not key.group.endswith((".k8s.io", "kubeedge.io"))
        known = key.resource in CORE_WRITABLE if not key.group else key.group in GROUPS_WRITABLE
        if not (custom or known):
            raise _forbidden(key, f"node {node!r} may not {verb} it; {ADVICE}")
        if key.namespace in self._guarded:
            raise _forbidden(key, f"nodes do not write to namespace {key.namespace}; {ADVICE}")

    def _check_own(self, node: str, verb: str, key: Key, subresource: str, body: Obj) -> None:
        if key.resource == "nodes" and key.name == node and verb != "create":
            return
        if self._permissions is not None and key.name:
            if key.resource == "pods" and (verb != "create" or subresource == "eviction"):
                self._permissions.check_pod(node, Resource(key.namespace, "pod", key.name))
                return
            if key.resource == "serviceaccounts" and subresource == "token":
                account = Resource(key.namespace, "serviceaccount", key.name)
                self._permissions.check_token(node, account, body)
                return
        raise _forbidden(key, f"node {node!r} may not {verb} it; {ADVICE}")


ADVICE = "modules.cloudHub.authorization leaves such questions to the API server's rules"


def is_secret(key: Key) -> bool:
    """Whether the request is about Secrets."""
    return (key.group, key.resource) == ("", "secrets")


def _forbidden(key: Key, why: str) -> ApiError:
    what = f"{key.resource}.{key.group}" if key.group else key.resource
    details = {"name": key.name, "group": key.group, "kind": key.resource}
    shown = f'{what} "{key.name}"' if key.name else what
    return ApiError(403, f"{shown} is forbidden: {why}", details={k: v for k, v in details.items() if v})

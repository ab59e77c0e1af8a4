"""What a node may read and write: what concerns its own pods, as kube-apiserver's node authorizer has it.

Facts: Kubernetes `plugin/pkg/auth/authorizer/node` and the NodeRestriction admission plugin. The
original checks this only with `modules.cloudHub.authorization` on; a node that keeps to its own pods
never notices the difference.
"""

from __future__ import annotations

from edgelab.cloudcore.edgecontroller.references import Reference, ReferenceIndex
from edgelab.kube.informer import Informer
from edgelab.objects.status import ApiError
from edgelab.protocol.resource import Resource

KINDS = {"configmap": "ConfigMap", "secret": "Secret"}
PUBLIC = "kube-root-ca.crt"
"""The ConfigMap with the cluster's CA, which is in every namespace and no secret."""


class Permissions:
    """Decides by the pods that are bound to the node. The checks raise ApiError (403)."""

    def __init__(self, index: ReferenceIndex, pods: Informer) -> None:
        self._index = index
        self._pods = pods

    def check_read(self, node: str, address: Resource) -> None:
        """May the node read this object? Only ConfigMaps and Secrets are guarded."""
        kind = KINDS.get(address.type)
        if kind is None or (address.type, address.name) == ("configmap", PUBLIC):
            return
        if node not in self._index.nodes_using(Reference(kind, address.namespace, address.name)):
            raise _forbidden(address, f"no pod on node {node!r} uses it")

    def check_token(self, node: str, address: Resource) -> None:
        """May the node have a token of this ServiceAccount?"""
        for key in self._index.pods_on(node):
            pod = self._pods.store.get(key)
            account = ((pod or {}).get("spec") or {}).get("serviceAccountName") or "default"
            if key[0] == address.namespace and account == address.name:
                return
        raise _forbidden(address, f"no pod on node {node!r} runs as it")

    def check_pod(self, node: str, address: Resource) -> None:
        """May the node write this pod? What is not known here is left to the API server."""
        pod = self._pods.store.get((address.namespace, address.name))
        if pod is not None and (pod.get("spec") or {}).get("nodeName") != node:
            raise _forbidden(address, f"it is not bound to node {node!r}")


def _forbidden(address: Resource, why: str) -> ApiError:
    details = {"name": address.name, "kind": address.type}
    return ApiError(403, f'{address.type} "{address.name}" is forbidden: {why}', details=details)

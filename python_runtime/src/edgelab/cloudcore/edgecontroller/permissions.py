"""What a node may read and write: what concerns its own pods, as kube-apiserver's node authorizer has it.

Facts: Kubernetes `plugin/pkg/auth/authorizer/node` and the NodeRestriction admission plugin. The
original checks this only with `modules.cloudHub.authorization` on; a node that keeps to its own pods
never notices the difference. CloudCore writes with rights of its own, so nobody behind it checks.
"""

from __future__ import annotations

from edgelab.cloudcore.edgecontroller.references import Reference, ReferenceIndex
from edgelab.identity import requests
from edgelab.kube.informer import Informer
from edgelab.kube.interface import Obj
from edgelab.objects.status import ApiError
from edgelab.protocol.resource import Resource

KINDS = {
    "configmap": "ConfigMap",
    "secret": "Secret",
    "persistentvolumeclaim": "PersistentVolumeClaim",
}
PUBLIC = "kube-root-ca.crt"
"""The ConfigMap with the cluster's CA, which is in every namespace and no secret."""
MIRROR = "kubernetes.io/config.mirror"


class Permissions:
    """Decides by the pods that are bound to the node. The checks raise ApiError (403)."""

    def __init__(self, index: ReferenceIndex, pods: Informer) -> None:
        self._index = index
        self._pods = pods

    def check_read(self, node: str, address: Resource) -> None:
        """May the node read this object, as far as its name tells?"""
        kind = KINDS.get(address.type)
        if kind is None or (address.type, address.name) == ("configmap", PUBLIC):
            return
        if not self._uses(node, Reference(kind, address.namespace, address.name)):
            raise _forbidden(address, f"no pod on node {node!r} uses it")

    def check_object(self, node: str, address: Resource, obj: Obj) -> None:
        """May the node read this volume or its attachment? Only the object itself tells whose it is."""
        spec = obj.get("spec") or {}
        if address.type == "volumeattachment" and spec.get("nodeName") != node:
            raise _forbidden(address, f"it is not for node {node!r}")
        if address.type == "persistentvolume":
            claim = spec.get("claimRef") or {}
            used = Reference("PersistentVolumeClaim", claim.get("namespace", ""), claim.get("name", ""))
            if not self._uses(node, used):
                raise _forbidden(address, f"no pod on node {node!r} uses its claim")

    def check_token(self, node: str, address: Resource, request: Obj | None = None) -> None:
        """May the node have a token of this ServiceAccount, bound to this pod?"""
        bound = ((request or {}).get("spec") or {}).get("boundObjectRef") or {}
        if bound and bound.get("kind") != "Pod":
            raise _forbidden(address, "a token for a node can be bound to nothing but a pod")
        for key in self._index.pods_on(node):
            pod = self._pods.store.get(key) or {}
            account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
            if (key[0], account) != (address.namespace, address.name):
                continue
            if not bound or (bound.get("name"), bound.get("uid")) == (key[1], pod["metadata"].get("uid")):
                return
        raise _forbidden(address, f"no pod on node {node!r} runs as it{' under this name' if bound else ''}")

    def check_pod(self, node: str, address: Resource) -> None:
        """May the node write this pod? What is not known here is left to the API server."""
        pod = self._pods.store.get((address.namespace, address.name))
        if pod is not None and (pod.get("spec") or {}).get("nodeName") != node:
            raise _forbidden(address, f"it is not bound to node {node!r}")

    def check_mirror(self, node: str, address: Resource, pod: Obj) -> None:
        """May the node create this pod? Only the mirror of one of its own static pods."""
        if MIRROR not in ((pod.get("metadata") or {}).get("annotations") or {}):
            raise _forbidden(address, "a node can create nothing but mirrors of its static pods")
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise _forbidden(address, f"it is not bound to node {node!r}")

    def _uses(self, node: str, reference: Reference) -> bool:
        return node in self._index.nodes_using(reference)


def check_request(node: str, address: Resource, csr: Obj) -> None:
    """May the node ask for this certificate? One with which kubelets serve or call has to bear its name.

    Raises ApiError.
    """
    spec = csr.get("spec") or {}
    if spec.get("signerName") not in (requests.SERVING, requests.NODE_CLIENT):
        return
    try:
        name = requests.parse(spec.get("request") or "").common_name
    except requests.RequestError as error:
        raise ApiError(400, f"spec.request of {address.name!r}: {error}") from None
    if name != requests.NODE_PREFIX + node:
        raise _forbidden(address, f"node {node!r} asks for a certificate of {name!r}")


def _forbidden(address: Resource, why: str) -> ApiError:
    details = {"name": address.name, "kind": address.type}
    return ApiError(403, f'{address.type} "{address.name}" is forbidden: {why}', details=details)

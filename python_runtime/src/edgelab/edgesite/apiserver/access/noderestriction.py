"""The NodeRestriction admission plugin: what a node may write (`plugin/pkg/admission/noderestriction`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.access import nodewrites
from edgelab.edgesite.apiserver.access.nodes import LEASES, node_of
from edgelab.edgesite.apiserver.access.nodewrites import no
from edgelab.edgesite.apiserver.access.rbac import aggregate
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import not_found

Obj = dict[str, Any]

RECREATED = "the UID in record. The object might have been deleted and then recreated"


class NodeRestriction:
    """Looks at writes by users that are nodes; raises ApiError 403."""

    def __init__(self, store: Store, authorizer: Authorizer) -> None:
        self._store = store
        self._authorizer = authorizer

    def create(self, kind: Kind, obj: Obj, user: User) -> None:
        """Look at a new object, before its defaults are set by other plugins."""
        node = self._node(kind, obj["metadata"].get("name") or "", user)
        if node is None:
            return
        name = obj["metadata"].get("name") or ""
        where = (kind.group, kind.plural)
        if where == ("", "pods"):
            nodewrites.mirror(node, obj, self._uid("nodes", node))
        elif where == ("", "nodes"):
            nodewrites.new_node(node, obj)
        elif where == ("", "persistentvolumeclaims"):
            raise no(kind, name, "may only update PVC status")
        elif where == ("certificates.k8s.io", "certificatesigningrequests"):
            nodewrites.certificate_request(node, kind, obj)
        else:
            self._own(kind, obj, node)

    def update(self, kind: Kind, new: Obj, old: Obj, subresource: str, user: User) -> None:
        """Look at a changed object."""
        name = old["metadata"]["name"]
        node = self._node(kind, name, user)
        if node is None:
            return
        where = (kind.group, kind.plural)
        if where == ("", "nodes"):
            nodewrites.changed_node(node, kind, new, old)
        elif where == ("", "pods"):
            nodewrites.changed_pod(node, kind, new, old, subresource)
        elif where == ("", "persistentvolumeclaims"):
            nodewrites.changed_claim(node, kind, new, old, subresource)
        else:
            self._own(kind, old, node)

    def delete(self, kind: Kind, obj: Obj, user: User) -> None:
        """Look at an object that is to be deleted."""
        name = obj["metadata"]["name"]
        node = self._node(kind, name, user)
        if node is None:
            return
        if kind.group == "" and kind.plural == "pods":
            if obj["spec"].get("nodeName") != node:
                text = f'node "{node}" can only delete pods with spec.nodeName set to itself'
                raise no(kind, name, text)
        elif kind.group == "" and kind.plural == "nodes" and name != node:
            raise no(kind, name, f'node "{node}" is not allowed to modify node "{name}"')
        else:
            self._own(kind, obj, node)

    def evict(self, kind: Kind, namespace: str, name: str, user: User) -> None:
        """Look at an eviction."""
        node = self._node(kind, name, user)
        if node is None:
            return
        entry = self._store.get(Key("pods", namespace, name))
        if entry is None:
            raise not_found("pod", name)
        if entry.field("spec.nodeName") != node:
            raise no(kind, name, f"node {node} can only evict pods with spec.nodeName set to itself")

    def token(self, kind: Kind, namespace: str, name: str, spec: Obj, user: User) -> None:
        """Look at a TokenRequest."""
        node = self._node(kind, name, user)
        if node is None:
            return
        reference = spec.get("boundObjectRef") or {}
        if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
            raise no(kind, name, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise no(kind, name, "node requested token with a pod binding without a uid")
        entry = self._store.get(Key("pods", namespace, reference["name"]))
        if entry is None:
            raise not_found("pod", reference["name"])
        pod = codec.decode(entry.data)
        if pod["metadata"]["uid"] != reference["uid"]:
            text = f"the UID in the bound object reference ({reference['uid']}) does not match"
            raise no(kind, name, f"{text} {RECREATED}")
        if pod["spec"].get("nodeName") != node:
            raise no(kind, name, "node requested token bound to a pod scheduled on a different node")
        self._audience(kind, pod, name, spec.get("audiences") or [], user)

    def _audience(self, kind: Kind, pod: Obj, name: str, audiences: list[str], user: User) -> None:
        """A node may ask for tokens for those audiences that a volume of the pod asks for."""
        if len(audiences) > 1:
            raise no(kind, name, "node may only request 0 or 1 audiences")
        audience, space = audiences[0] if audiences else "", pod["metadata"]["namespace"]
        if audience in _mounted(pod):
            return
        errors: list[str] = []
        for volume in pod["spec"].get("volumes") or ():
            found = self._of_volume(volume, pod)
            if isinstance(found, str):
                errors.append(found)
            elif audience in found:
                return
        if errors:
            raise no(kind, name, f'error validating audience "{audience}": {aggregate(errors)}')
        wanted = Attributes("request-serviceaccounts-token-audience", "", audience, "", space, name)
        if not self._authorizer.allows(user, wanted):
            text = (
                f'audience "{audience}" not found in pod spec volume, {user.name} is not authorized'
                " to request tokens for this audience"
            )
            raise no(kind, name, text)

    def _of_volume(self, volume: Obj, pod: Obj) -> set[str] | str:
        """Audiences that a volume's CSI driver asks for, inline or by a claim; or what is missing."""
        driver = (volume.get("csi") or {}).get("driver") or ""
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
        if volume.get("ephemeral"):
            claim = f"{pod['metadata']['name']}-{volume['name']}"
        if claim:
            spec = self._spec("persistentvolumeclaims", pod["metadata"]["namespace"], claim)
            if spec is None:
                return f'persistentvolumeclaim "{claim}" not found'
            bound = spec.get("volumeName") or ""
            spec = self._spec("persistentvolumes", "", bound)
            if spec is None:
                return f'persistentvolume "{bound}" not found'
            driver = (spec.get("csi") or {}).get("driver") or ""
        if not driver:
            return set()
        spec = self._spec("storage.k8s.io/csidrivers", "", driver)
        if spec is None:
            return f'csidriver.storage.k8s.io "{driver}" not found'
        return {item.get("audience") or "" for item in spec.get("tokenRequests") or ()}

    def _spec(self, bucket: str, namespace: str, name: str) -> Obj | None:
        entry = self._store.get(Key(bucket, namespace, name))
        return (codec.decode(entry.data).get("spec") or {}) if entry is not None else None

    def _uid(self, bucket: str, name: str) -> str | None:
        entry = self._store.get(Key(bucket, "", name))
        return None if entry is None else str(codec.decode(entry.data)["metadata"]["uid"])

    def _node(self, kind: Kind, name: str, user: User) -> str | None:
        node = node_of(user)
        if node == "":
            raise no(kind, name, f'could not determine node from user "{user.name}"')
        return node

    def _own(self, kind: Kind, obj: Obj, node: str) -> None:
        """Leases and CSINodes have their node's name."""
        name, where = obj["metadata"].get("name") or "", (kind.group, kind.plural)
        if where == ("coordination.k8s.io", "leases"):
            if obj["metadata"].get("namespace") != LEASES:
                raise no(kind, name, f'can only access leases in the "{LEASES}" system namespace')
            if name != node:
                raise no(kind, name, "can only access node lease with the same name as the requesting node")
        elif where == ("storage.k8s.io", "csinodes") and name != node:
            raise no(kind, name, "can only access CSINode with the same name as the requesting node")


def _mounted(pod: Obj) -> set[str]:
    """Audiences of the tokens that a pod mounts; the server's own is the empty one."""
    volumes = (pod["spec"].get("volumes")) or ()
    sources = [item for volume in volumes for item in (volume.get("projected") or {}).get("sources") or ()]
    tokens = [source["serviceAccountToken"] for source in sources if source.get("serviceAccountToken")]
    return {token.get("audience") or "" for token in tokens}

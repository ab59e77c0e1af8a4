"""The rules of NodeRestriction on single objects (`plugin/pkg/admission/noderestriction`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.access.nodes import MIRROR
from edgelab.edgesite.apiserver.access.podreferences import any_reference
from edgelab.edgesite.apiserver.authorization import refused
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

KUBELET_LABELS = {
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
}
KUBELET_SPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
OWN = "spec.nodeName set to itself"
RESTRICTED = "node-restriction.kubernetes.io"
NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


def no(kind: Kind, name: str, why: str) -> ApiError:
    """403 for a write of a node."""
    return refused(kind.group, kind.plural, name, why)


def _no_pod(pod: Obj, why: str) -> ApiError:
    return refused("", "pods", pod["metadata"].get("name") or "", why)


def mirror(node: str, pod: Obj, owner_uid: str | None) -> None:
    """A pod of a node's own: the mirror of a file, without any claim on other objects. `owner_uid` is the uid
    of the Node, None if there is none.
    """
    metadata = pod["metadata"]
    quoted = f'node "{node}"'
    if MIRROR not in (metadata.get("annotations") or {}):
        raise _no_pod(pod, f'pod does not have "{MIRROR}" annotation, {quoted} can only create mirror pods')
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise _no_pod(pod, f"{quoted} can only create pods with spec.nodeName set to itself")
    owners = metadata.get("ownerReferences") or []
    if len(owners) > 1:
        raise _no_pod(pod, f"{quoted} can only create pods with a single owner reference set to itself")
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise _no_pod(pod, f"{quoted} can only create pods with an owner reference set to itself")
    if not owner.get("controller"):
        text = f"{quoted} can only create pods with a controller owner reference set to itself"
        raise _no_pod(pod, text)
    if owner.get("blockOwnerDeletion"):
        raise _no_pod(pod, f"{quoted} must not set blockOwnerDeletion on an owner reference")
    if owner_uid is None:
        raise not_found("node", node)
    if owner.get("uid") != owner_uid:
        raise _no_pod(pod, f"node {node} UID mismatch: expected {owner.get('uid') or ''} got {owner_uid}")
    referenced = any_reference(pod)
    if referenced:
        raise _no_pod(pod, f"{quoted} can not create pods that reference {referenced}")


def new_node(node: str, obj: Obj) -> None:
    """A node makes its own Node, with labels that are its to set."""
    name = obj["metadata"].get("name") or ""
    if name != node:
        raise refused("", "nodes", name, f'node "{node}" is not allowed to modify node "{name}"')
    if (obj.get("spec") or {}).get("configSource") is not None:
        text = f'node "{node}" is not allowed to create pods with a non-nil configSource'
        raise refused("", "nodes", name, text)
    wrong = _forbidden_labels(obj["metadata"].get("labels") or {}, {})
    if wrong:
        text = f'node "{node}" is not allowed to set the following labels: {", ".join(wrong)}'
        raise refused("", "nodes", name, text)


def changed_node(node: str, kind: Kind, new: Obj, old: Obj) -> None:
    """A node changes its own Node, but not what steers pods to it."""
    name = old["metadata"]["name"]
    if name != node:
        raise no(kind, name, f'node "{node}" is not allowed to modify node "{name}"')
    source = (new.get("spec") or {}).get("configSource")
    if source is not None and source != (old.get("spec") or {}).get("configSource"):
        raise no(
            kind, name, f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
        )
    if ((new.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
        raise no(kind, name, f'node "{node}" is not allowed to modify taints')
    owners = "ownerReferences"
    if (new["metadata"].get(owners) or []) != (old["metadata"].get(owners) or []):
        raise no(kind, name, f'node "{node}" is not allowed to modify ownerReferences')
    wrong = _forbidden_labels(new["metadata"].get("labels") or {}, old["metadata"].get("labels") or {})
    if wrong:
        raise no(kind, name, f"is not allowed to modify labels: {', '.join(wrong)}")


def changed_pod(node: str, kind: Kind, new: Obj, old: Obj, subresource: str) -> None:
    """A node reports the status of its pods."""
    name = old["metadata"]["name"]
    if not subresource:
        text = f'unexpected operation "UPDATE", node "{node}" can only create and delete mirror pods'
        raise no(kind, name, text)
    if subresource != "status":
        text = f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed"
        raise no(kind, name, text)
    if old["spec"].get("nodeName") != node:
        text = f'node "{node}" can only update pod status for pods with {OWN}'
        raise no(kind, name, text)
    if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
        raise no(kind, name, f'node "{node}" cannot update labels through pod status')
    claims = "resourceClaimStatuses"
    if ((new.get("status") or {}).get(claims) or []) != ((old.get("status") or {}).get(claims) or []):
        raise no(kind, name, f'node "{node}" cannot update resource claim statues')


def changed_claim(node: str, kind: Kind, new: Obj, old: Obj, subresource: str) -> None:
    """A node reports sizes of volumes."""
    name = old["metadata"]["name"]
    if subresource != "status":
        raise no(kind, name, "may only update PVC status")
    free = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")

    def rest(obj: Obj) -> Obj:
        metadata = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
        status = {k: v for k, v in (obj.get("status") or {}).items() if k not in free}
        return {**obj, "metadata": metadata, "status": status}

    if rest(new) != rest(old):
        text = (
            f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        )
        raise no(kind, name, text)


def _forbidden_labels(new: dict[str, str], old: dict[str, str]) -> list[str]:
    changed = {key for key in (*new, *old) if new.get(key) != old.get(key)}
    return sorted(key for key in changed if _is_forbidden(key))


def _is_forbidden(label: str) -> bool:
    space = label.partition("/")[0] if "/" in label else ""
    if _within(space, RESTRICTED):
        return True
    known = label in KUBELET_LABELS or any(_within(space, item) for item in KUBELET_SPACES)
    return any(_within(space, item) for item in ("kubernetes.io", "k8s.io")) and not known


def _within(space: str, domain: str) -> bool:
    return space == domain or space.endswith(f".{domain}")


def certificate_request(node: str, kind: Kind, obj: Obj) -> None:
    """A node asks for certificates of its own."""
    spec = obj.get("spec") or {}
    if spec.get("signerName") not in NODE_SIGNERS:
        return
    from edgelab.identity.requests import RequestError, parse  # noqa: PLC0415 - rare

    name = obj["metadata"].get("name") or ""
    try:
        request = parse(spec.get("request") or "")
    except RequestError as error:
        raise no(kind, name, f"unable to parse csr: {error}") from error
    if request.common_name != f"system:node:{node}":
        raise no(kind, name, f"can only create a node CSR with CN=system:node:{node}")

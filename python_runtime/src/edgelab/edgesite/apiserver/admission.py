"""Admission: what kube-apiserver's default plugins do that an edge site needs.

NamespaceLifecycle, LimitRanger, ServiceAccount, TaintNodesByCondition, PodSecurity, Priority,
DefaultTolerationSeconds, DefaultStorageClass, DefaultIngressClass, PersistentVolumeClaimResize,
RuntimeClass, ValidatingAdmissionPolicy and ResourceQuota;
addresses of Services; the identity behind a certificate request.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import (
    claimresize,
    codec,
    defaultclasses,
    escalation,
    limitranger,
    podadmission,
    podsecurity,
)
from edgelab.edgesite.apiserver.access.noderestriction import NodeRestriction
from edgelab.edgesite.apiserver.addresses import Addresses
from edgelab.edgesite.apiserver.admissionrequests import change, connection, creation, scaling
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.certificates.admission import CertificateRequests
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.parameters import Parameters
from edgelab.edgesite.apiserver.podaccess import check_mirror, give_access, is_mirror, missing
from edgelab.edgesite.apiserver.quotas import Quotas
from edgelab.edgesite.apiserver.reviews import user_info
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError, not_found

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.policies.dispatching import Policies

Obj = dict[str, Any]

REGISTRATION = "admissionregistration.k8s.io"
PARAMETERISED = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")
IN_USE = {
    ("", "PersistentVolumeClaim"): "kubernetes.io/pvc-protection",
    ("", "PersistentVolume"): "kubernetes.io/pv-protection",
    ("storage.k8s.io", "VolumeAttributesClass"): "kubernetes.io/vac-protection",
}
"""What may be in use, and the finalizer by which it stays as long (StorageObjectInUseProtection)."""
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
CLASSES = "storage.k8s.io/storageclasses"
BINDINGS = f"{REGISTRATION}/validatingadmissionpolicybindings"
LIMITED = ("", "resize", "ephemeralcontainers")
"""Subresources that quotas and Pod Security look at."""
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class DefaultAdmission:
    """Decides on the newest state of the store."""

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        service_network: ipaddress.IPv4Network,
        authorizer: Authorizer,
        clock: Clock,
    ) -> None:
        self._store = store
        self._quotas = Quotas(store, clock)
        self._kinds = kinds
        self._parameters = Parameters(store, kinds, authorizer)
        self._policies: Policies | None = None
        self.authorizer = authorizer
        self._addresses = Addresses(store, service_network)
        self._nodes = NodeRestriction(store, authorizer)
        self._requests = CertificateRequests(authorizer, clock)

    def create(self, kind: Kind, obj: Obj, context: Context) -> None:
        """Check the namespace and complete pods, services and certificate requests."""
        if kind.resource.namespaced:
            self._namespace(kind, obj)
        self._right_to_create(kind, obj, context)
        if kind.group == "" and kind.name == "Pod" and is_mirror(obj):
            check_mirror(obj)
        self._nodes.create(kind, obj, context.user)
        escalation.check(self.authorizer, kind, obj, None, context.user)
        if kind.group == "" and kind.name == "Pod":
            limitranger.complete(self._store, obj)
            self._pod(obj)
        elif kind.group == "" and kind.name == "Node":
            _taint(obj)
        elif kind.group == "" and kind.name == "PersistentVolumeClaim":
            self._storage_class(obj)
        elif kind.group == "" and kind.name == "Service":
            self._addresses.give(obj, dry_run=context.dry_run)
        elif kind.group == "networking.k8s.io" and kind.name == "Ingress":
            defaultclasses.give_class(self._store, obj)
        elif kind.name == "CertificateSigningRequest":
            self._requests.create(obj, user_info(context.user))
        if (kind.group, kind.name) in IN_USE:
            present = obj["metadata"].get("finalizers") or []
            protecting = IN_USE[kind.group, kind.name]
            obj["metadata"]["finalizers"] = list(dict.fromkeys([*present, protecting]))

    def _right_to_create(self, kind: Kind, obj: Obj, context: Context) -> None:
        """A POST was checked already; a PUT or an apply that creates has only been asked for its own verb."""
        name, namespace = obj["metadata"].get("name") or "", obj["metadata"].get("namespace") or ""
        self.authorizer.check(
            context.user, Attributes("create", kind.group, kind.plural, "", namespace, name)
        )

    def update(self, kind: Kind, new: Obj, old: Obj, context: Context, subresource: str = "") -> None:
        """Services may need addresses that they had not; roles and bindings may not exceed their author."""
        self._nodes.update(kind, new, old, subresource, context.user)
        escalation.check(self.authorizer, kind, new, old, context.user)
        if kind.name == "CertificateSigningRequest":
            self._requests.update(new, old, subresource, context.user)
        if kind.group == "" and kind.name == "Service" and not new["metadata"].get("deletionTimestamp"):
            self._addresses.give(new, old, dry_run=context.dry_run)
        elif kind.group == "" and kind.name == "Pod":
            podadmission.keep(new, old)

    def validate(
        self, kind: Kind, obj: Obj, old: Obj | None, context: Context, subresource: str = ""
    ) -> None:
        """What a valid object may still not be."""
        self._check(kind, obj, old, context, subresource)
        if self._is_bound() and subresource != "binding":
            self._by_policies(kind, obj, old, context, subresource)
        if kind.resource.namespaced and subresource in LIMITED and (old is None or not _is_deleting(old)):
            self._quotas.check(kind, obj, old, subresource=subresource, dry_run=context.dry_run)

    def _by_policies(self, kind: Kind, obj: Obj, old: Obj | None, context: Context, subresource: str) -> None:
        policies = self._with_policies()
        if old is None:
            policies.validate(creation(kind, obj, context), obj)
        elif context.part == "scale":
            policies.validate(*scaling(kind, obj, old, context, policies.subkinds))
        else:
            policies.validate(change(kind, "UPDATE", old, context, subresource), obj)

    def _is_bound(self) -> bool:
        """Whether any policy is in force (what is not yet durable is not yet)."""
        return next(self._store.entries(BINDINGS), None) is not None

    def _with_policies(self) -> Policies:
        if self._policies is None:
            from edgelab.edgesite.apiserver.policies.dispatching import Policies  # noqa: PLC0415 - rare

            self._policies = Policies(self._store, self._kinds, self.authorizer)
        return self._policies

    def _check(self, kind: Kind, obj: Obj, old: Obj | None, context: Context, subresource: str) -> None:
        """The plugins that come before policies."""
        if kind.name == "PriorityClass" and kind.group == "scheduling.k8s.io":
            podadmission.one_default(self._store, obj, old)
        if kind.name == "Namespace" and kind.group == "" and not subresource:
            podsecurity.check_namespace(obj, old)
        if kind.name in PARAMETERISED and kind.group == REGISTRATION and not subresource:
            self._parameters.check(obj, old, context.user)
        if not kind.resource.namespaced or subresource not in LIMITED:
            return
        if old is not None and _is_deleting(old):
            return
        core = kind.group == ""
        resized = kind.name == "Pod" and subresource == "resize"
        if core and ((kind.name == "Pod" and old is None) or resized or kind.name == "PersistentVolumeClaim"):
            limitranger.check(self._store, kind.plural, obj)
        if core and kind.name == "PersistentVolumeClaim" and old is not None and not subresource:
            claimresize.check(self._store, obj, old)
        podsecurity.check(self._store, kind, obj, old, context)
        if core and kind.name == "Pod" and old is None:
            podadmission.check_runtime(self._store, obj)

    def _storage_class(self, claim: Obj) -> None:
        """The newest class that is marked as the default one."""
        annotated = OLD_CLASS in (claim["metadata"].get("annotations") or {})
        if "storageClassName" in claim["spec"] or annotated:
            return
        classes = [codec.decode(entry.data)["metadata"] for entry in self._store.heads(CLASSES)]
        marked = [m for m in classes if (m.get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
        marked.sort(key=lambda metadata: str(metadata["name"]))
        if marked:
            newest = max(marked, key=lambda metadata: str(metadata["creationTimestamp"]))
            claim["spec"]["storageClassName"] = newest["name"]

    def delete(self, kind: Kind, obj: Obj, context: Context) -> None:
        """The namespaces that the system needs stay."""
        self._nodes.delete(kind, obj, context.user)
        name = obj["metadata"]["name"]
        if kind.group == "" and kind.name == "Namespace" and name in PROTECTED:
            details = {"name": name, "kind": "namespaces"}
            raise ApiError(
                403, f'namespaces "{name}" is forbidden: this namespace may not be deleted', details=details
            )
        if self._is_bound():
            self._with_policies().validate(change(kind, "DELETE", obj, context), None)

    def connect(self, target: Target, body: Obj, context: Context) -> None:
        """What nodes ask of pods and accounts."""
        if target.subresource == "token":
            spec = body.get("spec") or {}
            self._nodes.token(target.kind, target.namespace, target.name, spec, context.user)
        elif target.subresource == "eviction":
            self._nodes.evict(target.kind, target.namespace, target.name, context.user)
        if self._is_bound() and target.subresource:
            policies = self._with_policies()
            policies.validate(connection(target, context, policies.subkinds), body)

    def _namespace(self, kind: Kind, obj: Obj) -> None:
        name = obj["metadata"]["namespace"]
        entry = self._store.head(Key("namespaces", "", name))
        if entry is None:
            raise not_found("namespaces", name)
        if codec.decode(entry.data)["metadata"].get("deletionTimestamp"):
            raise _terminating(kind, obj, name)

    def _pod(self, pod: Obj) -> None:
        if not is_mirror(pod):
            self._account(pod)
        podadmission.complete(self._store, pod)

    def _account(self, pod: Obj) -> None:
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        account = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = account
        entry = self._store.head(Key("serviceaccounts", namespace, account))
        if entry is not None:
            give_access(pod, codec.decode(entry.data))
        elif account != "default":
            raise missing(pod, account)


def _is_deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _taint(node: Obj) -> None:
    """Until its conditions are known, nothing is scheduled to a new node."""
    spec = node.setdefault("spec", {})
    taints = spec.get("taints") or []
    if not any((t.get("key"), t.get("effect")) == tuple(NOT_READY.values()) for t in taints):
        spec["taints"] = [*taints, dict(NOT_READY)]


def _terminating(kind: Kind, obj: Obj, namespace: str) -> ApiError:
    name = obj["metadata"].get("name") or ""
    message = f"namespace {namespace} is being terminated"
    details = {
        "name": name,
        **({"group": kind.group} if kind.group else {}),
        "kind": kind.plural,
        "causes": [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}],
    }
    return ApiError(
        403,
        f'{kind.qualified} "{name}" is forbidden: unable to create new content in namespace {namespace}'
        " because it is being terminated",
        details=details,
    )

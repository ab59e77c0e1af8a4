"""Where the pod's persistent volumes are, or can be. No I/O.

Facts: pkg/scheduler/framework/plugins/{volumebinding,volumezone}, component-helpers/storage/volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from edgelab.edgesite.scheduler.demand import amount
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.nodes import is_term
from edgelab.edgesite.scheduler.plugins.base import Unmoved
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal, SchedulerError
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_controlled_by, is_deleting, labels
from edgelab.objects.selectors import from_object

BINDING = "VolumeBinding"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


class Volumes(Protocol):
    """What is known of claims, volumes and classes."""

    def claim(self, namespace: str, name: str) -> Obj | None:
        """A persistent volume claim."""
        ...

    def volume(self, name: str) -> Obj | None:
        """A persistent volume."""
        ...

    def volumes(self) -> list[Obj]:
        """All persistent volumes."""
        ...

    def storage_class(self, name: str) -> Obj | None:
        """A storage class."""
        ...


class Binding(NamedTuple):
    """What has to be written before the pod can be bound to a node."""

    static: tuple[tuple[Obj, Obj], ...] = ()
    """Volumes with the claims that they are for."""
    provision: tuple[Obj, ...] = ()
    """Claims for which volumes have to be made."""


@dataclass(slots=True)
class Claims:
    """The pod's claims: bound already, to be bound where the pod goes, or neither."""

    bound: list[Obj] = field(default_factory=list)
    delayed: list[Obj] = field(default_factory=list)
    immediate: list[Obj] = field(default_factory=list)


class VolumeBinding(Unmoved):
    """Bound volumes must be reachable from the node, others must be to be had there."""

    name = BINDING

    def __init__(self, known: Volumes, claims: Claims) -> None:
        self._known = known
        self._claims = claims
        self.found: dict[str, Binding] = {}
        """What has to be written, by node."""

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        reasons, binding = [], Binding()
        near, exist = self._reach(node)
        if not near:
            reasons.append(NODE_CONFLICT)
        if self._claims.delayed:
            found = self._find(node)
            if found is None:
                reasons.append(BIND_CONFLICT)
            else:
                binding = found
        if not exist:
            reasons.append(NO_VOLUME)
        if reasons:
            return Refusal(self.name, tuple(reasons))
        self.found[node.name] = binding
        return None

    def _reach(self, node: NodeInfo) -> tuple[bool, bool]:
        for claim in self._claims.bound:
            volume = self._known.volume(claim["spec"]["volumeName"])
            if volume is None:
                return True, False
            if not is_near(volume, node.labels):
                return False, True
        return True, True

    def _find(self, node: NodeInfo) -> Binding | None:
        static, provision, taken = [], [], set[str]()
        for claim in sorted(self._claims.delayed, key=_size):
            selected = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
            if selected is not None and selected != node.name:
                return None
            volume = None if selected else matching(claim, self._known.volumes(), node.labels, taken)
            if volume is None:
                provision.append(claim)
            else:
                taken.add(volume["metadata"]["name"])
                static.append((volume, claim))
        if not all(self._can_provide(claim, node) for claim in provision):
            return None
        return Binding(tuple(static), tuple(provision))

    def _can_provide(self, claim: Obj, node: NodeInfo) -> bool:
        name = class_of(claim)
        found = self._known.storage_class(name)
        if found is None:
            raise SchedulerError(f'running "{BINDING}" filter plugin: failed to find storage class "{name}"')
        if found.get("provisioner") in (None, "", NO_PROVISIONER):
            return False
        terms = found.get("allowedTopologies") or ()
        return not terms or any(_is_allowed(term, node.labels) for term in terms)


def before_binding(pod: PodInfo, known: Volumes) -> Refusal | Claims:
    """Sort the pod's claims, or say why it cannot be placed at all."""
    claims = Claims()
    for name in pod.claims:
        ephemeral = _is_ephemeral(pod.obj, name)
        claim = known.claim(pod.namespace, name)
        if claim is None:
            waiting = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
            text = f'{waiting} "{name}"' if ephemeral else f'persistentvolumeclaim "{name}" not found'
            return Refusal(BINDING, (text,))
        if text := _unusable(claim, name, pod.obj if ephemeral else None):
            return Refusal(BINDING, (text,))
        _sort(claim, known, claims)
    return Refusal(BINDING, (UNBOUND,)) if claims.immediate else claims


def _unusable(claim: Obj, name: str, owner: Obj | None) -> str:
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName") or ""
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if owner is not None and not is_controlled_by(claim, owner):
        where = claim["metadata"]["namespace"]
        who = f"pod {owner['metadata']['namespace']}/{owner['metadata']['name']}"
        return f"PVC {where}/{name} was not created for {who} (pod is not owner)"
    return ""


def _sort(claim: Obj, known: Volumes, claims: Claims) -> None:
    volume = claim["spec"].get("volumeName") or ""
    if volume and BIND_COMPLETED in (claim["metadata"].get("annotations") or {}):
        claims.bound.append(claim)
        return
    found = known.storage_class(class_of(claim))
    delayed = found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"
    (claims.delayed if delayed and not volume else claims.immediate).append(claim)


def _is_ephemeral(pod: Obj, name: str) -> bool:
    prefix = f"{pod['metadata']['name']}-"
    volumes = pod["spec"].get("volumes") or ()
    return any(volume.get("ephemeral") and prefix + volume["name"] == name for volume in volumes)


def class_of(obj: Obj) -> str:
    """The storage class of a claim or of a volume."""
    annotation = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    return str(annotation if annotation is not None else obj["spec"].get("storageClassName") or "")


def is_near(volume: Obj, present: Mapping[str, str]) -> bool:
    """Whether the volume can be reached from a node with these labels."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    return any(is_term(term, present, "") for term in required.get("nodeSelectorTerms") or ())


def matching(claim: Obj, volumes: Sequence[Obj], present: Mapping[str, str], taken: set[str]) -> Obj | None:
    """The smallest volume that is to be had for the claim near a node with these labels."""
    fitting = []
    for volume in volumes:
        if volume["metadata"]["name"] in taken or not _suits(volume, claim):
            continue
        if _is_for(volume, claim):
            return volume if is_near(volume, present) else None
        if volume["spec"].get("claimRef") is None and _is_free(volume, claim) and is_near(volume, present):
            fitting.append(volume)
    return min(fitting, key=_capacity, default=None)


def _suits(volume: Obj, claim: Obj) -> bool:
    same = (
        _mode(volume) == _mode(claim)
        and class_of(volume) == class_of(claim)
        and (volume["spec"].get("volumeAttributesClassName") or "")
        == (claim["spec"].get("volumeAttributesClassName") or "")
    )
    return same and _capacity(volume) >= _size(claim) and not is_deleting(volume)


def _is_for(volume: Obj, claim: Obj) -> bool:
    reference, metadata = volume["spec"].get("claimRef"), claim["metadata"]
    if reference is None or reference.get("uid") not in (None, "", metadata["uid"]):
        return False
    return bool(
        reference.get("name") == metadata["name"] and reference.get("namespace") == metadata["namespace"]
    )


def _is_free(volume: Obj, claim: Obj) -> bool:
    spec, selector = claim["spec"], claim["spec"].get("selector")
    offered = set(volume["spec"].get("accessModes") or ())
    return (
        (volume.get("status") or {}).get("phase") == "Available"
        and (selector is None or from_object(selector).matches(labels(volume)))
        and set(spec.get("accessModes") or ()) <= offered
    )


def _mode(obj: Obj) -> str:
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def _size(claim: Obj) -> int:
    requests: Mapping[str, Any] = (claim["spec"].get("resources") or {}).get("requests") or {}
    return amount("storage", requests.get("storage") or 0)


def _capacity(volume: Obj) -> int:
    return amount("storage", (volume["spec"].get("capacity") or {}).get("storage") or 0)


def _is_allowed(term: Mapping[str, Any], present: Mapping[str, str]) -> bool:
    expressions = term.get("matchLabelExpressions") or ()
    return all(present.get(item["key"]) in (item.get("values") or ()) for item in expressions)

"""Which volume suits a claim. No I/O.

Facts: k8s.io/component-helpers/storage/volume, pkg/controller/volume/persistentvolume/index.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from edgelab.edgesite.scheduler.nodes import term_matches
from edgelab.kube.interface import Obj
from edgelab.objects import quantity
from edgelab.objects.metadata import is_deleting, labels
from edgelab.objects.selectors import from_object

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def notes_of(obj: Obj) -> dict[str, str]:
    """The annotations; an empty dict when there are none."""
    return obj["metadata"].get("annotations") or {}


def has_class(claim: Obj) -> bool:
    """Whether the claim says anything about its class, be it that it wants none."""
    return BETA_CLASS in notes_of(claim) or "storageClassName" in claim["spec"]


def class_of(obj: Obj) -> str:
    """The storage class of a volume or claim; empty for none."""
    return notes_of(obj).get(BETA_CLASS) or obj["spec"].get("storageClassName") or ""


def capacity(volume: Obj) -> Decimal:
    """The size of a volume."""
    return quantity.parse((volume["spec"].get("capacity") or {}).get("storage", "0"))


def requested(claim: Obj) -> Decimal:
    """The size that a claim asks for."""
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", "0"))


def is_bound_to(volume: Obj, claim: Obj) -> bool:
    """Whether the volume is meant for this claim, by the claim's uid or before it had one."""
    reference = volume["spec"].get("claimRef")
    metadata = claim["metadata"]
    if not reference or (reference.get("namespace"), reference.get("name")) != (
        metadata["namespace"],
        metadata["name"],
    ):
        return False
    return reference.get("uid") in (None, "", metadata["uid"])


def _modes(obj: Obj) -> set[str]:
    return set(obj["spec"].get("accessModes") or ())


def _same_mode(claim: Obj, volume: Obj) -> bool:
    mode = claim["spec"].get("volumeMode") or "Filesystem"
    return bool(mode == (volume["spec"].get("volumeMode") or "Filesystem"))


def _attributes(obj: Obj) -> str:
    return obj["spec"].get("volumeAttributesClassName") or ""


def problem(volume: Obj, claim: Obj) -> str | None:
    """Why a volume that the claim names does not suit it."""
    if is_deleting(volume):
        return f'the volume is marked for deletion "{volume["metadata"]["name"]}"'
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _attributes(volume) != _attributes(claim):
        return "volumeAttributesClassName does not match"
    if not _same_mode(claim, volume):
        return "incompatible volumeMode"
    return None if _modes(claim) <= _modes(volume) else "incompatible accessMode"


def fits_node(volume: Obj, node: Obj) -> bool:
    """Whether the volume can be reached from the node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    return any(term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def best(claim: Obj, volumes: Iterable[Obj], *, waits: bool, node: Obj | None = None) -> Obj | None:
    """The volume that is meant for the claim, else the smallest that suits it.

    `waits`: the class binds when a pod comes; `node` is where that pod is.
    """
    selector = claim["spec"].get("selector")
    chosen: list[tuple[int, Decimal, str, Obj]] = []
    for volume in volumes:
        if not _suits(volume, claim):
            continue
        if is_bound_to(volume, claim):
            return volume if node is None or fits_node(volume, node) else None
        if (waits and node is None) or (volume.get("status") or {}).get("phase") != "Available":
            continue
        if selector is not None and not from_object(selector).matches(labels(volume)):
            continue
        if class_of(volume) == class_of(claim) and (node is None or fits_node(volume, node)):
            name = volume["metadata"]["name"]
            chosen.append((len(_modes(volume)), capacity(volume), name, volume))
    return min(chosen, key=lambda item: item[:3])[3] if chosen else None


def _suits(volume: Obj, claim: Obj) -> bool:
    taken = bool(volume["spec"].get("claimRef")) and not is_bound_to(volume, claim)
    right = _modes(claim) <= _modes(volume) and _same_mode(claim, volume)
    return (
        right
        and not taken
        and not is_deleting(volume)
        and capacity(volume) >= requested(claim)
        and _attributes(volume) == _attributes(claim)
    )

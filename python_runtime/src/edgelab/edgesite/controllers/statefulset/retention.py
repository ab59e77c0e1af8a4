"""Who owns the claims of a StatefulSet's pods, by its retention policy. No I/O.

Nobody owns what is to be kept. What goes with the set is owned by the set, what goes with a pod that
is scaled away by that pod. Fact: pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.statefulset.identity import ordinal, ordinals
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import owner_reference


def policy(stateful_set: Obj) -> tuple[bool, bool]:
    """Whether claims are deleted when the set is, and when it is scaled down."""
    found = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return found.get("whenDeleted") == "Delete", found.get("whenScaled") == "Delete"


def _references(claim: Obj) -> list[Obj]:
    return list(claim["metadata"].get("ownerReferences") or ())


def _names(reference: Obj, owner: Obj) -> bool:
    return (reference["apiVersion"], reference["kind"], reference["name"]) == (
        owner["apiVersion"],
        owner["kind"],
        owner["metadata"]["name"],
    )


def _uid(owner: Obj) -> str:
    """A pod that is yet to be made has none."""
    return str(owner["metadata"].get("uid", ""))


def is_stale(claim: Obj, owner: Obj) -> bool:
    """Whether the claim belongs to a namesake of the owner, which is gone."""
    named = [reference for reference in _references(claim) if _names(reference, owner)]
    return bool(named) and named[0]["uid"] != _uid(owner)


def has_stranger(claim: Obj, stateful_set: Obj, pod: Obj) -> bool:
    """Whether something else controls the claim although the policy wants us to."""
    if not any(policy(stateful_set)):
        return False
    for reference in _references(claim):
        mine = next((owner for owner in (stateful_set, pod) if _names(reference, owner)), None)
        if mine is not None:
            if reference["uid"] != _uid(mine):
                return True
        elif reference.get("controller"):
            return True
    return False


def wanted_owners(stateful_set: Obj, pod: Obj) -> list[Obj]:
    """Who of the two should own the pod's claims."""
    when_deleted, when_scaled = policy(stateful_set)
    gone = ordinal(pod) not in ordinals(stateful_set)
    if when_scaled and gone:
        return [pod]
    return [stateful_set] if when_deleted else []


def is_right(claim: Obj, stateful_set: Obj, pod: Obj) -> bool:
    """Whether the claim's owners are as the policy says, or unclear enough not to be touched."""
    if is_stale(claim, stateful_set) or is_stale(claim, pod):
        return True
    references = _references(claim)
    ours = {_uid(stateful_set), _uid(pod)}
    mine = [reference for reference in references if reference["uid"] in ours]
    if has_stranger(claim, stateful_set, pod):
        return not mine
    if not all(reference.get("controller") for reference in mine):
        return False
    return {reference["uid"] for reference in mine} == {
        _uid(owner) for owner in wanted_owners(stateful_set, pod)
    }


def with_owners(claim: Obj, stateful_set: Obj, pod: Obj) -> Obj:
    """The claim with the owners that it should have."""
    kept = [r for r in _references(claim) if not _names(r, stateful_set) and not _names(r, pod)]
    if not has_stranger(claim, stateful_set, pod):
        kept += [owner_reference(owner) for owner in wanted_owners(stateful_set, pod)]
    metadata = {key: value for key, value in claim["metadata"].items() if key != "ownerReferences"}
    if kept:
        metadata["ownerReferences"] = kept
    return {**claim, "metadata": metadata}

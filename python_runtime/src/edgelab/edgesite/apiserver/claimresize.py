"""The PersistentVolumeClaimResize plugin: which claims may grow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.podadmission import refused
from edgelab.edgesite.store import Key, Store
from edgelab.objects import quantity

Obj = dict[str, Any]

CLASSES = "storage.k8s.io/storageclasses"
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
UNBOUND = "Only bound persistent volume claims can be expanded"
FIXED = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must"
    " support resize"
)


def check(store: Store, claim: Obj, old: Obj) -> None:
    """Raises ApiError 403 for a claim that grows although it may not."""
    if _size(claim) <= _size(old):
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        raise refused("persistentvolumeclaims", "", claim, UNBOUND)
    name = _class(claim)
    entry = store.head(Key(CLASSES, "", name)) if name and name == _class(old) else None
    if entry is None or not codec.decode(entry.data).get("allowVolumeExpansion"):
        raise refused("persistentvolumeclaims", "", claim, FIXED)


def _size(claim: Obj) -> Decimal:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", "0"))


def _class(claim: Obj) -> str:
    annotations = claim["metadata"].get("annotations") or {}
    return annotations.get(OLD_CLASS) or claim["spec"].get("storageClassName") or ""

"""A pod as the scheduler looks at it: read once, used for many nodes and many decisions."""

from __future__ import annotations

from collections.abc import Mapping

from edgelab.edgesite.scheduler.demand import Demand, demand
from edgelab.edgesite.scheduler.terms import Term, preferred, required
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting, labels

_NO_TERMS: tuple[Term, ...] = ()


class PodInfo:
    """One pod in one version. `affinity`, `apart` and `wishes` are its terms about other pods."""

    __slots__ = (
        "affinity",
        "apart",
        "claims",
        "demand",
        "labels",
        "namespace",
        "obj",
        "priority",
        "uid",
        "wishes",
    )

    def __init__(self, pod: Obj, *, placed: bool = False) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        self.obj = pod
        self.uid: str = metadata["uid"]
        self.namespace: str = metadata["namespace"]
        self.labels: Mapping[str, str] = labels(pod)
        self.priority = int(spec.get("priority") or 0)
        self.demand: Demand = demand(pod, placed=placed)
        self.affinity = self.apart = _NO_TERMS
        self.wishes: tuple[tuple[int, Term], ...] = ()
        self.claims = claim_names(pod) if spec.get("volumes") else ()
        if spec.get("affinity"):
            self.affinity, self.apart = required(pod, "podAffinity"), required(pod, "podAntiAffinity")
            self.wishes = preferred(pod)

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.obj["metadata"]["name"])

    @property
    def is_deleting(self) -> bool:
        """Whether deletion was asked for."""
        return is_deleting(self.obj)

    @property
    def has_terms(self) -> bool:
        """Whether other pods matter to it."""
        return bool(self.affinity or self.apart or self.wishes)


def claim_names(pod: Obj) -> tuple[str, ...]:
    """The claims that the pod's volumes name, generic ephemeral ones included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(str(volume["persistentVolumeClaim"]["claimName"]))
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return tuple(names)

"""A pod as the scheduler looks at it: read once, used for many nodes and many decisions."""

from __future__ import annotations

from collections.abc import Mapping

from edgelab.edgesite.scheduler.demand import Demand, demand
from edgelab.edgesite.scheduler.terms import kin_of, terms_of
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting


class PodInfo:
    """One pod in one version."""

    __slots__ = ("claims", "demand", "kin", "obj", "priority", "terms", "uid")

    def __init__(self, pod: Obj, *, placed: bool = False) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        self.obj = pod
        self.uid: str = metadata["uid"]
        self.kin = kin_of(pod)
        self.priority = int(spec.get("priority") or 0)
        self.demand: Demand = demand(pod, placed=placed)
        self.terms = terms_of(pod, self.kin)
        self.claims = claim_names(pod) if spec.get("volumes") else ()

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.obj["metadata"]["name"])

    @property
    def is_deleting(self) -> bool:
        """Whether deletion was asked for."""
        return is_deleting(self.obj)

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return self.kin.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels."""
        return self.kin.labels


def claim_names(pod: Obj) -> tuple[str, ...]:
    """The claims that the pod's volumes name, generic ephemeral ones included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(str(volume["persistentVolumeClaim"]["claimName"]))
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return tuple(names)
